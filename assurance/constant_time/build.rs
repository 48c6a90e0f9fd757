//! Compiles the one request to valgrind, a macro of its headers.

fn main() {
    println!("cargo::rerun-if-changed=src/request.c");
    cc::Build::new().file("src/request.c").compile("request");
}
