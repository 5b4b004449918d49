//! Checks the rules of the source code, by reading it. Each group of rules is in `tidy/`.

mod tidy {
    mod floors;
    mod foreign;
    mod made_up;
    mod rules;
    mod source;

    use std::path::Path;

    use self::source::Source;

    const ROOT: &str = env!("CARGO_MANIFEST_DIR");

    fn read(folders: &[&str]) -> Vec<Source> {
        folders.iter().flat_map(|folder| Source::all_below(Path::new(ROOT), folder)).collect()
    }

    /// The source of the library and its programs.
    fn library() -> Vec<Source> {
        let sources = read(&["src", "crates"]);
        assert!(sources.len() > 40, "only {} files were read", sources.len());
        sources
    }

    /// All source in this repository.
    fn everything() -> Vec<Source> {
        let folders = ["src", "crates", "tests", "benches", "examples", "loom-tests", "fuzz"];
        let sources = read(&folders);
        for folder in folders.map(|folder| format!("{folder}/")) {
            assert!(
                sources.iter().any(|s| s.path.starts_with(&folder)),
                "nothing of {folder} read"
            );
        }
        sources
    }

    fn assert_none(wrong: impl IntoIterator<Item = impl Into<String>>) {
        let wrong: Vec<String> = wrong.into_iter().map(Into::into).collect();
        assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    }

    #[test]
    fn imports_run_downwards() {
        let sources = library();
        let names: usize = sources.iter().map(|source| source.paths(&["any"]).len()).sum();
        assert!(names > 200, "only {names} paths were found in the code");
        assert_none(floors::missing_rooms(&sources));
        assert_none(floors::upward_names(&sources));
    }

    #[test]
    fn rooms_know_each_other_in_no_circle() {
        assert_none(floors::circles(&library()));
    }

    #[test]
    fn atomics_come_through_one_door() {
        assert_none(library().iter().flat_map(rules::other_doors));
    }

    #[test]
    fn threads_come_through_one_door() {
        assert_none(library().iter().flat_map(rules::other_threads));
    }

    #[test]
    fn foreign_code_is_called_where_the_table_says() {
        let page = std::fs::read_to_string(Path::new(ROOT).join("docs/foreign-code.md"));
        let rows = foreign::rows(&page.expect("a page"));
        assert!(rows.len() > 10, "only {} rows were read", rows.len());
        let sources = everything();
        assert_none(foreign::unlisted(&sources, &rows));
        assert_none(foreign::misplaced(&sources, &rows));
        assert_none(foreign::unnamed_methods(&sources, &rows));
        assert_none(foreign::untested(&sources, &rows));
        assert_none(sources.iter().flat_map(foreign::other_catches));
    }

    #[test]
    fn there_is_no_unsafe_code() {
        assert_none(everything().iter().flat_map(rules::unsafe_code));
        let manifest = |folder: &str| {
            let path = Path::new(ROOT).join(folder).join("Cargo.toml");
            std::fs::read_to_string(path).expect("a manifest")
        };
        assert!(rules::forbids_unsafe(&manifest(".")));
        let members = [
            ".",
            "crates/stockade-cli",
            "crates/stockade-http",
            "benches",
            "loom-tests",
            "loom-tests/shuttle",
        ];
        for member in members {
            assert!(rules::takes_lints(&manifest(member)), "{member} takes no lints");
        }
    }

    #[test]
    fn every_error_turns_into_the_umbrella() {
        assert_none(rules::errors_outside(&library()));
    }

    #[test]
    fn files_lie_where_their_names_say() {
        assert_none(library().iter().flat_map(rules::hidden_files));
    }

    #[test]
    fn files_are_short() {
        assert_none(everything().iter().filter_map(rules::too_long));
    }

    #[test]
    fn comments_are_no_wider_than_code() {
        assert_none(everything().iter().flat_map(rules::wide_comments));
    }

    #[test]
    fn files_say_what_they_are_for() {
        assert_none(everything().iter().filter_map(rules::unintroduced));
    }

    #[test]
    fn no_type_name_is_used_twice() {
        assert_none(rules::names_used_twice(&library()));
    }
}
