//! The cookbook says what it says.

use std::{collections::BTreeMap, fs, path::Path};

use tollbook_policy::{PolicySet, PolicySetBuilder, PolicyTests};

/// Policies, each with its file's name, and their tests.
type Recipe = (Vec<(String, String)>, Option<String>);

/// The files of the cookbook, by the name before their first dot.
fn recipes() -> BTreeMap<String, Recipe> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cookbook");
    let mut recipes: BTreeMap<String, Recipe> = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let recipe = name.split('.').next().unwrap().to_owned();
        let (policies, tests) = recipes.entry(recipe).or_default();
        if name.ends_with(".test.toml") {
            *tests = Some(text);
        } else {
            policies.push((name, text));
        }
    }
    recipes
}

fn with(builder: PolicySetBuilder, name: &str, text: &str) -> PolicySetBuilder {
    if name.ends_with(".toml") {
        builder.short(name, text)
    } else {
        builder.file(name, text)
    }
}

/// What the configuration permits where the recipe is used: those for SQL only forbid, so that they are
/// copied as they are.
fn permitted(recipe: &str) -> PolicySetBuilder {
    match recipe.starts_with("sql-") {
        true => PolicySet::builder().allow("orders", ["agents", "writers"].map(str::to_owned)),
        false => PolicySet::builder(),
    }
}

#[test]
fn every_recipe_passes_its_tests() {
    let recipes = recipes();
    assert!(recipes.len() >= 10);
    for (recipe, (policies, tests)) in recipes {
        let tests = tests.unwrap_or_else(|| panic!("{recipe} has no tests"));
        assert!(!policies.is_empty(), "{recipe}");
        let mut builder = permitted(&recipe).tests(format!("{recipe}.test.toml"), &tests);
        for (name, text) in &policies {
            builder = with(builder, name, text);
        }
        let set = builder.build().unwrap_or_else(|error| panic!("{error}"));
        // Every policy of the recipe is one that some case needs.
        let parsed = PolicyTests::parse(&recipe, &tests).unwrap();
        assert!(parsed.run(&set).iter().all(|outcome| outcome.passed()));
        for (name, text) in &policies {
            let empty = with(permitted(&recipe), name, "").build().unwrap();
            let outcomes = parsed.run(&empty);
            let failed = outcomes.iter().filter(|outcome| !outcome.passed()).count();
            assert!(failed > 0, "{recipe} passes without {name}: {text}");
        }
    }
}

#[test]
fn the_short_form_and_what_it_is_made_into_are_the_same_policies() {
    for (recipe, (policies, tests)) in recipes() {
        for (name, text) in policies {
            let set = with(permitted(&recipe), &name, &text).build().unwrap();
            let cedar = set.to_cedar(&name).unwrap();
            let again = permitted(&recipe).file(&name, cedar).build().unwrap();
            assert_eq!(set.hash(), again.hash());
            let tests = PolicyTests::parse(&recipe, tests.as_deref().unwrap_or_default()).unwrap();
            for outcome in tests.run(&again) {
                assert!(outcome.passed(), "{recipe}: {outcome}");
            }
        }
    }
}
