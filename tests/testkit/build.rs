//! Tells the kit for which target it is built: the name of the folder that cargo puts the programs in.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Ok(target) = std::env::var("TARGET") {
        println!("cargo::rustc-env=STOCKADE_TARGET={target}");
    }
}
