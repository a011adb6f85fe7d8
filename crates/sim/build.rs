//! Builds the source of randomness that the simulation stands on; see `src/entropy.c`.
#![forbid(unsafe_code)]

fn main() {
    cc::Build::new().file("src/entropy.c").link_lib_modifier("+whole-archive").compile("adit_sim_entropy");
    // Crates look `getrandom` up at run time, so it must be visible from outside the program.
    println!("cargo::rustc-link-arg-tests=-Wl,--export-dynamic-symbol=getrandom");
    println!("cargo::rerun-if-changed=src/entropy.c");
}
