"""Just enough of the syntax of SQL to rewrite calls: tokens, brackets, and clauses of a SELECT."""

import re
from dataclasses import dataclass, field
from typing import Callable, Optional

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*)
    |(?P<text>'(?:[^']|'')*'|\$\$.*?\$\$)
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<word>[A-Za-z_][A-Za-z_0-9]*)
    |(?P<number>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)
    |(?P<sign>::|<=|>=|<>|!=|\|\||.)""",
    re.VERBOSE | re.DOTALL,
)


def tokens(sql: str) -> list[str]:
    """The tokens of a text; put together again they are the text."""
    return [match.group() for match in _TOKEN.finditer(sql)]


def is_word(token: str) -> bool:
    """Whether a token is a name or a keyword without quotes."""
    return token[0].isalpha() or token[0] == "_"


def closing(found: list[str], opening: int) -> int:
    """Where the bracket closes that opens at `opening`."""
    depth = 0
    for at in range(opening, len(found)):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(found[at], 0)
        if depth == 0:
            return at
    raise ValueError("a bracket is not closed")


def split_commas(found: list[str]) -> list[list[str]]:
    """The parts between commas outside of brackets."""
    parts, part, depth = [], [], 0
    for token in found:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token, 0)
        if token == "," and depth == 0:
            parts.append(part)
            part = []
        else:
            part.append(token)
    return parts + [part] if part or parts else []


def next_token(found: list[str], at: int) -> int:
    """The first place from `at` on that is no space."""
    while at < len(found) and (found[at].isspace() or found[at].startswith("--")):
        at += 1
    return at


@dataclass
class Call:
    """A call with its arguments as text, and what may stand behind it."""

    name: str
    args: list[str]
    # The second brackets of `quantile(0.5)(x)`.
    more_args: Optional[list[str]] = None
    # What stands in the brackets of WITHIN GROUP, FILTER and OVER.
    within: Optional[str] = None
    condition: Optional[str] = None
    over: Optional[str] = None

    def text(self) -> str:
        """The call as SQL."""
        written = f"{self.name}({', '.join(self.args)})"
        if self.more_args is not None:
            written += f"({', '.join(self.more_args)})"
        return written + self.behind()

    def behind(self, condition: Optional[str] = None) -> str:
        """What stands behind the brackets, with one more condition on the rows."""
        conditions = [part for part in (self.condition, condition) if part]
        text = f" WITHIN GROUP ({self.within})" if self.within else ""
        if conditions:
            text += f" FILTER (WHERE {' AND '.join(f'({part})' for part in conditions)})"
        return text + (f" OVER ({self.over})" if self.over is not None else "")


def rewrite_calls(sql: str, rewrite: Callable[[Call], Optional[str]]) -> str:
    """The text with every call replaced for which `rewrite` gives something else, inner ones first."""
    return _rewrite(tokens(sql), rewrite)


def _rewrite(found: list[str], rewrite: Callable[[Call], Optional[str]]) -> str:
    out, at = [], 0
    while at < len(found):
        opening = next_token(found, at + 1)
        if not is_word(found[at]) or opening >= len(found) or found[opening] != "(":
            out.append(found[at])
            at += 1
            continue
        end = closing(found, opening)
        inside = found[opening + 1 : end]
        call = Call(found[at], [_rewrite(part, rewrite).strip() for part in split_commas(inside)])
        end += 1
        if end < len(found) and found[end] == "(":
            last = closing(found, end)
            call.more_args = [_rewrite(part, rewrite).strip() for part in split_commas(found[end + 1 : last])]
            end = last + 1
        end = _read_behind(found, end, call, rewrite)
        replaced = rewrite(call)
        if replaced is None and call.within is None and call.condition is None and call.over is None:
            # Not only calls look like calls: keep the spaces of `IN (1)` and `AS (SELECT ...)`.
            replaced = "".join(found[at:opening]) + call.text()[len(call.name) :]
        out.append(call.text() if replaced is None else replaced)
        at = end
    return "".join(out)


def _read_behind(found: list[str], end: int, call: Call, rewrite: Callable[[Call], Optional[str]]) -> int:
    while True:
        at = next_token(found, end)
        words = [token.lower() for token in found[at : at + 3] if not token.isspace()]
        if words[:2] == ["within", "group"]:
            opening = next_token(found, at + 3)
        elif words[:1] in (["filter"], ["over"]):
            opening = next_token(found, at + 1)
        else:
            return end
        if opening >= len(found) or found[opening] != "(":
            return end
        last = closing(found, opening)
        inside = _rewrite(found[opening + 1 : last], rewrite).strip()
        if words[0] == "within":
            call.within = inside
        elif words[0] == "over":
            call.over = inside
        else:
            call.condition = re.sub(r"^where\s", "", inside, flags=re.IGNORECASE).strip()
        end = last + 1


_CLAUSES = ["select", "from", "where", "group by", "having", "order by", "limit", "offset"]


@dataclass
class Select:
    """The clauses of a SELECT as text, without their keywords."""

    clauses: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def read(sql: str) -> "Select":
        """Takes a text apart at the keywords outside of brackets."""
        found, clauses, current, depth = tokens(sql), {}, None, 0
        at = 0
        while at < len(found):
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(found[at], 0)
            word = found[at].lower()
            behind = next_token(found, at + 1)
            if depth == 0 and word in ("group", "order") and behind < len(found) and found[behind].lower() == "by":
                word, at = f"{word} by", behind
            if depth == 0 and word in _CLAUSES:
                current = word
                clauses[current] = ""
            elif current:
                clauses[current] += found[at]
            at += 1
        return Select({name: text.strip() for name, text in clauses.items()})

    def items(self, clause: str) -> list[str]:
        """The parts of a clause between commas."""
        return ["".join(part).strip() for part in split_commas(tokens(self.clauses.get(clause, "")))]
