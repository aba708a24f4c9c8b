//! Which instruction set the kernels of this process use, and the macro that makes one function per set out of a body.

use std::sync::LazyLock;

/// An instruction set that this processor has. Values exist only for what was detected, which is what makes calling
/// the wrappers below sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level(pub(super) Set);

/// Named sets, each with all that those before it have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "the other sets are those of x86-64"))]
pub(super) enum Set {
    Portable,
    Avx2,
    Avx512,
}

static CURRENT: LazyLock<Level> = LazyLock::new(|| *Level::available().last().expect("the portable set is there"));

impl Level {
    /// The best one.
    #[inline(always)]
    pub(crate) fn current() -> Self {
        *CURRENT
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            Set::Portable => "portable",
            Set::Avx2 => "AVX2",
            Set::Avx512 => "AVX-512",
        }
    }

    /// All that this processor has, the best one last.
    pub(crate) fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "only x86-64 has more than the portable set")]
        let mut levels = vec![Self(Set::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt")
                && is_x86_feature_detected!("popcnt")
                && is_x86_feature_detected!("fma");
            if avx2 {
                levels.push(Self(Set::Avx2));
            }
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx2 && avx512 {
                levels.push(Self(Set::Avx512));
            }
        }
        levels
    }
}

/// For each line a function that runs a body compiled for the best instruction set, and in `at` one that is told the
/// set. The body is `#[inline(always)]`, or one function per set that carries the features of its set.
macro_rules! dispatch {
    ($(
        $(#[$doc:meta])*
        $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? =
            $avx512:path, $avx2:path, $portable:path;
    )*) => {
        $(
            $(#[$doc])*
            #[inline]
            $vis fn $name($($arg: $ty),*) $(-> $ret)? {
                at::$name(Level::current(), $($arg),*)
            }
        )*

        /// The same functions for a given instruction set.
        pub(super) mod at {
            #[allow(unused_imports, reason = "what the signatures and bodies name")]
            use super::*;
            use super::super::level::Set;

            $(
                #[inline]
                pub(in crate::encoding::kernel) fn $name(level: Level, $($arg: $ty),*) $(-> $ret)? {
                    match level.0 {
                        #[cfg(target_arch = "x86_64")]
                        Set::Avx512 => {
                            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
                            fn run($($arg: $ty),*) $(-> $ret)? {
                                $avx512($($arg),*)
                            }
                            // SAFETY: a level exists only when the processor has its features.
                            unsafe { run($($arg),*) }
                        }
                        #[cfg(target_arch = "x86_64")]
                        Set::Avx2 => {
                            #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
                            fn run($($arg: $ty),*) $(-> $ret)? {
                                $avx2($($arg),*)
                            }
                            // SAFETY: a level exists only when the processor has its features.
                            unsafe { run($($arg),*) }
                        }
                        _ => $portable($($arg),*),
                    }
                }
            )*
        }
    };
}

pub(super) use dispatch;
