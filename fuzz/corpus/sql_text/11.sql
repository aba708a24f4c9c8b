SELECT 'it''s', "time", $$dollar$$, -- comment
 0x1F /* and /* nested */ */ FROM "t"