//! `Send`, `Sync` and lifetimes are exact: what would be unsound does not compile.
//!
//! Each file in `compile_fail` is a program with one line that must not compile, marked
//! with the error's code. Without that line it must compile: so it is that line, and not
//! some other thing in the file. Nothing else of the compiler's output is compared, so this
//! does not depend on its version (as `trybuild` would, which is why it is not used).

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
    process::Command,
};

use common::within;

/// The error codes of each program, by name.
type Errors = BTreeMap<String, BTreeSet<String>>;

/// Compiles all programs of a package made here. Those that compile are in the result, too.
fn errors(programs: &BTreeMap<String, String>) -> Errors {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile_fail");
    let _ = fs::remove_dir_all(package.join("src"));
    fs::create_dir_all(package.join("src/bin")).unwrap();
    let manifest = format!(
        "[package]\nname = \"compile-fail\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [dependencies]\nbinlock = {{ path = {root:?} }}\n\n[workspace]\n"
    );
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    // The same versions of everything as here.
    if let Ok(lock) = fs::read(root.join("Cargo.lock")) {
        fs::write(package.join("Cargo.lock"), lock).unwrap();
    }
    for (name, program) in programs {
        fs::write(package.join(format!("src/bin/{name}.rs")), program).unwrap();
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["check", "--offline", "--keep-going", "--bins", "--message-format=json"])
        .env("CARGO_TARGET_DIR", package.join("target"))
        .current_dir(&package)
        .output()
        .unwrap();
    let mut errors: Errors = programs.keys().map(|name| (name.clone(), BTreeSet::new())).collect();
    let mut finished = false;
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let message: serde_json::Value = serde_json::from_str(line).unwrap();
        finished |= message["reason"] == "build-finished";
        let what = &message["message"];
        if message["reason"] != "compiler-message" || what["level"] != "error" {
            continue;
        }
        let name = message["target"]["name"].as_str().unwrap();
        let text = what["message"].as_str().unwrap();
        if text.starts_with("aborting due to") {
            continue;
        }
        let errors = errors.get_mut(name).unwrap_or_else(|| panic!("{name}: {text}"));
        errors.insert(what["code"]["code"].as_str().unwrap_or(text).to_owned());
    }
    assert!(finished, "{}", String::from_utf8_lossy(&output.stderr));
    errors
}

#[test]
fn what_must_not_compile_does_not() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
    let (mut programs, mut expected) = (BTreeMap::new(), Errors::new());
    for case in fs::read_dir(cases).unwrap() {
        let path = case.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let program = fs::read_to_string(&path).unwrap();
        let marked: Vec<_> = program.lines().filter(|line| line.contains("//~ ")).collect();
        let [line] = marked[..] else { panic!("{name} must have one marked line") };
        let code = line.split("//~ ").nth(1).unwrap();
        expected.insert(name.to_owned(), [code.to_owned()].into());
        let without = format!("without_{name}");
        expected.insert(without.clone(), BTreeSet::new());
        programs.insert(without, program.replace(line, ""));
        programs.insert(name.to_owned(), program);
    }
    assert!(programs.len() >= 2 * 30);
    let actual = within(240, || errors(&programs));
    for (name, codes) in &expected {
        assert_eq!(actual[name], *codes, "{name}");
    }
}
