use super::{code_only, local_paths, reexports, without_tests};

fn paths(code: &str) -> Vec<String> {
    local_paths(code).into_iter().map(|(line, path)| format!("{line} {}", path.join("::"))).collect()
}

#[test]
fn comments_and_strings_go_and_lines_stay() {
    let cases = [
        ("a // crate::x\nb", "a\nb"),
        ("a /* x /* y */ z */ b", "a b"),
        (r#"f("crate::x \" y") g"#, "f( ) g"),
        ("r#\"crate::\"x\"# b", " b"),
        ("b\"x\" c\"y\" br\"z\" ;", " ;"),
        ("'a' b'{' '\\n' '\\'' '\\u{7f}' x", " x"),
        ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
        ("bar\"x\"", "bar"),
        ("r#type = 1", "r#type = 1"),
        ("\"unfinished\nx", "\n"),
        ("/* unfinished", ""),
        ("é'é' 'é", "é 'é"),
    ];
    for (source, code) in cases {
        let got = code_only(source);
        assert_eq!(got.lines().count(), source.lines().count(), "{source}");
        let dense: Vec<String> = got.split('\n').map(squeezed).collect();
        assert_eq!(dense.join("\n").trim_end_matches(' '), code, "{source}");
    }
}

/// Runs of blanks as one, none at the end.
fn squeezed(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
    let lead = if line.starts_with(' ') && !words.is_empty() { " " } else { "" };
    format!("{lead}{}", words.join(" "))
}

#[test]
fn items_behind_cfg_test_go() {
    let code = "a\n#[cfg(test)]\nmod tests {\n  fn x() { crate::y() }\n}\nb\n#[cfg(test)]\nmod more;\nc";
    assert_eq!(without_tests(code), "a\n\n\n\n\nb\n\n\nc");
    assert_eq!(without_tests("#[cfg(test)] mod unfinished {"), "");
}

#[test]
fn local_paths_are_unfolded() {
    let code = "use crate::{a::B, c::{D, self}};\nfn f() { super::super::g::h(); }\nuse std::x;\nself::m::N";
    assert_eq!(
        paths(code),
        ["1 crate::a::B", "1 crate::c::D", "1 crate::c::self", "2 super::super::g::h", "4 self::m::N"]
    );
}

#[test]
fn what_is_no_path_is_none() {
    assert!(paths("pub(crate) fn f(self) { self.x; my_crate::y(); x::self_::z() }").is_empty());
}

#[test]
fn reexports_carry_their_new_name() {
    let code = "pub use a::{B, c::D as E};\npub(crate) use crate::f::G;\nuse h::I;";
    let found: Vec<String> =
        reexports(code).into_iter().map(|(name, path)| format!("{name} = {}", path.join("::"))).collect();
    assert_eq!(found, ["B = a::B", "E = a::c::D", "G = crate::f::G"]);
}
