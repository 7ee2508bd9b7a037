//! What functions do besides computing.
//!
//! Three lists: the side-effect functions of [`side_effect`], the server's own functions that only
//! compute (`functions/*.txt`), and everything else, of which nobody here can say anything.
//!
//! `postgres.txt` has the names of `pg_catalog` of which no version is volatile, those that are volatile
//! and yet only tell something (`random`, `clock_timestamp`), and what the grammar writes like a function.
//! Left out is what reads a table that is named by a string (`table_to_xml`).

use std::{collections::HashSet, sync::LazyLock};

use crate::{Class, Dialect, Settings};

/// What a call means for the statement it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It computes.
    None,
    /// The statement is of this class at least.
    Class(Class),
    /// Nobody has said that it is harmless.
    Unlisted,
}

/// What calling `name`, in the form of [`Statement::functions`](crate::Statement), does.
pub(crate) fn effect(dialect: Dialect, name: &str, settings: &Settings) -> Effect {
    if settings.harmless_functions.contains(name) {
        return Effect::None;
    }
    let (bare, known) = match dialect {
        Dialect::Postgres => (name.strip_prefix("pg_catalog.").unwrap_or(name), &*POSTGRES),
        Dialect::MySql => (name, &*MYSQL),
    };
    // Extensions are where somebody put them: their functions are known in every schema.
    let last = bare.rsplit('.').next().unwrap_or(bare);
    match side_effect(dialect, last) {
        Some(class) => Effect::Class(class),
        None if known.contains(bare) => Effect::None,
        None => Effect::Unlisted,
    }
}

/// The class that a call of this function gives its statement, if it is a side-effect function.
///
/// | functions | class |
/// |---|---|
/// | sequences (`nextval`, `setval`), large objects (`lo_*`), `pg_notify`, `pg_logical_emit_message`, replication slots and origins, statistics (`pg_stat_reset*`) | `write` |
/// | `set_config`, `pg_sleep*`, `sleep`, `benchmark`, `setseed`, advisory and named locks, `last_insert_id`, `master_pos_wait` | `session` |
/// | files of the server (`pg_read_file`, `pg_ls_*`, `lo_import`, `lo_export`, `load_file`), other backends (`pg_terminate_backend`, `pg_cancel_backend`), the server itself (`pg_reload_conf`, `pg_promote`, backups), other servers (`dblink*`) | `privilege` |
/// | what runs a query or reads a table it is given as a string (`query_to_xml`, `ts_stat`, `ts_rewrite`, `cursor_to_xml`, `crosstab`) | `unknown` |
pub fn side_effect(dialect: Dialect, name: &str) -> Option<Class> {
    match dialect {
        Dialect::Postgres => postgres(name),
        Dialect::MySql => mysql(name),
    }
}

fn postgres(name: &str) -> Option<Class> {
    const PRIVILEGE: [&str; 16] = [
        "pg_ls_",
        "pg_read_",
        "pg_stat_file",
        "lo_import",
        "lo_export",
        "dblink",
        "pg_terminate_",
        "pg_cancel_",
        "pg_reload_",
        "pg_rotate_",
        "pg_promote",
        "pg_switch_wal",
        "pg_wal_replay_",
        "pg_backup_",
        "pg_file_",
        "pg_hba_",
    ];
    const PRIVILEGED: [&str; 12] = [
        "pg_start_backup",
        "pg_stop_backup",
        "pg_create_restore_point",
        "pg_current_logfile",
        "pg_log_backend_memory_contexts",
        "pg_ident_file_mappings",
        "pg_show_all_file_settings",
        "pg_import_system_collations",
        "pg_extension_config_dump",
        "pg_stop_making_pinned_objects",
        "pg_nextoid",
        "system",
    ];
    const SESSION: [&str; 8] = [
        "set_config",
        "pg_sleep",
        "pg_sleep_for",
        "pg_sleep_until",
        "setseed",
        "pg_export_snapshot",
        "pg_stat_clear_snapshot",
        "pg_stat_force_next_flush",
    ];
    const WRITE: [&str; 10] = [
        "pg_notify",
        "nextval",
        "setval",
        "loread",
        "lowrite",
        "pg_logical_emit_message",
        "gin_clean_pending_list",
        "brin_summarize_new_values",
        "brin_summarize_range",
        "brin_desummarize_range",
    ];
    const WRITES: [&str; 8] = [
        "lo_",
        "pg_stat_reset",
        "pg_create_",
        "pg_drop_",
        "pg_copy_",
        "pg_replication_",
        "pg_logical_slot_",
        "pg_sync_",
    ];
    const RUNS: [&str; 14] = [
        "ts_stat",
        "ts_rewrite",
        "query_to_",
        "cursor_to_",
        "table_to_",
        "schema_to_",
        "database_to_",
        "crosstab",
        "connectby",
        "binary_upgrade_",
        "xpath_table",
        "exec",
        "plpgsql_",
        "pldbg_",
    ];
    let begins = |list: &[&str]| list.iter().any(|begin| name.starts_with(begin));
    if begins(&RUNS) {
        Some(Class::Unknown)
    } else if begins(&PRIVILEGE) || PRIVILEGED.contains(&name) {
        Some(Class::Privilege)
    } else if SESSION.contains(&name) || name.contains("advisory_") {
        Some(Class::Session)
    } else if WRITE.contains(&name) || begins(&WRITES) {
        Some(Class::Write)
    } else {
        None
    }
}

fn mysql(name: &str) -> Option<Class> {
    match name.to_ascii_lowercase().as_str() {
        "load_file" | "sys_exec" | "sys_eval" | "sys_get" | "sys_set" => Some(Class::Privilege),
        "sleep"
        | "benchmark"
        | "get_lock"
        | "release_lock"
        | "release_all_locks"
        | "last_insert_id"
        | "master_pos_wait"
        | "source_pos_wait"
        | "master_gtid_wait"
        | "wait_for_executed_gtid_set" => Some(Class::Session),
        "nextval" | "setval" | "lastval" => Some(Class::Write),
        _ => None,
    }
}

static POSTGRES: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("functions/postgres.txt").lines().collect());
static MYSQL: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("functions/mysql.txt").lines().collect());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_function_is_on_two_lists() {
        for (dialect, list) in [(Dialect::Postgres, &*POSTGRES), (Dialect::MySql, &*MYSQL)] {
            let twice: Vec<_> = list
                .iter()
                .filter(|name| side_effect(dialect, name).is_some())
                .collect();
            assert_eq!(twice, Vec::<&&str>::new());
        }
    }

    #[test]
    fn what_nobody_listed_is_unlisted_wherever_it_is_from() {
        let of = |name| effect(Dialect::Postgres, name, &Settings::default());
        assert_eq!(of("lower"), Effect::None);
        assert_eq!(of("pg_catalog.lower"), Effect::None);
        assert_eq!(of("app.lower"), Effect::Unlisted);
        assert_eq!(
            of("pg_catalog.pg_read_file"),
            Effect::Class(Class::Privilege)
        );
        assert_eq!(of("ext.dblink_exec"), Effect::Class(Class::Privilege));
    }
}
