//! What only the inside of this crate can check: every statement, equal shapes, row-level security.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use adit_testkit::Postgres;
use sqlx::{AssertSqlSafe, Executor, Row, SqlSafeStr, Statement};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::engine::{PostgresEngine, SqliteEngine};
use crate::limits::{OPEN_DEADLINE, SQLITE_BUSY_DEADLINE, STATEMENT_DEADLINE};
use crate::statement::Listed;
use crate::{DatabaseUrl, OpenError, Store};
use crate::{api_keys, capabilities, changes, endpoints, ports, signing_keys, tenants, usage};

const ALL: [(&str, &[Listed]); 9] = [
    ("api_keys", api_keys::STATEMENTS),
    ("capabilities", capabilities::STATEMENTS),
    ("changes", changes::STATEMENTS),
    ("endpoints", endpoints::STATEMENTS),
    ("endpoints/inventory", endpoints::inventory::STATEMENTS),
    ("ports", ports::STATEMENTS),
    ("signing_keys", signing_keys::STATEMENTS),
    ("tenants", tenants::STATEMENTS),
    ("usage", usage::STATEMENTS),
];

async fn sqlite() -> (SqliteEngine, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (SqliteEngine::open(&folder.path().join("adit.db")).await.unwrap(), folder)
}

async fn postgres() -> (PostgresEngine, Arc<Postgres>) {
    let server = Postgres::shared().unwrap();
    (PostgresEngine::open(&server.database().unwrap()).await.unwrap(), server)
}

#[tokio::test]
async fn every_statement_is_prepared_on_both_engines() {
    let (sqlite, _folder) = sqlite().await;
    let (postgres, _server) = postgres().await;
    for (file, statements) in ALL {
        for &(name, sql, values) in statements {
            let on_sqlite = sqlite.pool().prepare(sql.into_sql_str()).await;
            let on_sqlite = on_sqlite.unwrap_or_else(|error| panic!("{file} {name} on SQLite: {error}"));
            let on_postgres = postgres.pool().prepare(sql.into_sql_str()).await;
            let on_postgres =
                on_postgres.unwrap_or_else(|error| panic!("{file} {name} on Postgres: {error}"));
            for (engine, parameters) in [
                ("SQLite", on_sqlite.parameters().map(|p| p.either(<[_]>::len, |count| count))),
                ("Postgres", on_postgres.parameters().map(|p| p.either(<[_]>::len, |count| count))),
            ] {
                assert_eq!(parameters, Some(values), "{file} {name} on {engine}");
            }
        }
    }
}

/// What two engines must have in common of a table: its columns and whether they may be null, and its unique sets.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shape {
    columns: BTreeMap<String, Column>,
    unique: BTreeSet<BTreeSet<String>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Column {
    kind: &'static str,
    nullable: bool,
}

type Shapes = BTreeMap<String, Shape>;

#[tokio::test]
async fn both_engines_have_the_same_shape() {
    let (sqlite, _folder) = sqlite().await;
    let (postgres, _server) = postgres().await;
    let (sqlite, postgres) = (sqlite_shapes(&sqlite).await, postgres_shapes(&postgres).await);
    assert!(sqlite.len() >= 7, "{sqlite:#?}");
    assert_eq!(sqlite, postgres);
    let endpoints = &sqlite["endpoints"];
    assert!(endpoints.unique.contains(&["default_for", "tenant_id"].map(String::from).into()));
    assert!(endpoints.columns["default_for"].nullable && !endpoints.columns["id"].nullable);
}

async fn sqlite_shapes(engine: &SqliteEngine) -> Shapes {
    let columns = "SELECT t.name AS table_name, c.name, c.type, c.\"notnull\" = 0 AS nullable
        FROM sqlite_schema t JOIN pragma_table_info(t.name) c
        WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' AND t.name NOT LIKE '_sqlx%'";
    let mut shapes = Shapes::new();
    for row in sqlx::query(columns).fetch_all(engine.pool()).await.unwrap() {
        let kind = match row.get::<String, _>("type").as_str() {
            "BLOB" => "bytes",
            "INTEGER" => "integer",
            "TEXT" => "text",
            other => panic!("unexpected type {other}"),
        };
        let shape: &mut Shape = shapes.entry(row.get("table_name")).or_default();
        shape.columns.insert(row.get("name"), Column { kind, nullable: row.get("nullable") });
    }
    // An integer primary key is the row id itself and has no index.
    let unique = "SELECT t.name AS table_name, i.name AS set_name, c.name
        FROM sqlite_schema t JOIN pragma_index_list(t.name) i JOIN pragma_index_info(i.name) c
        WHERE t.type = 'table' AND i.\"unique\" AND t.name NOT LIKE '_sqlx%'
        UNION ALL SELECT t.name, 'row id', c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
        WHERE t.type = 'table' AND c.pk = 1 AND c.type = 'INTEGER'
            AND (SELECT max(pk) FROM pragma_table_info(t.name)) = 1";
    add_unique(&mut shapes, sqlx::query_as(unique).fetch_all(engine.pool()).await.unwrap());
    shapes
}

async fn postgres_shapes(engine: &PostgresEngine) -> Shapes {
    let columns = "SELECT table_name::text, column_name::text AS name, data_type::text AS type,
            is_nullable = 'YES' AS nullable
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'";
    let mut shapes = Shapes::new();
    for row in sqlx::query(columns).fetch_all(engine.pool()).await.unwrap() {
        let kind = match row.get::<String, _>("type").as_str() {
            "bytea" | "uuid" => "bytes",
            "bigint" => "integer",
            "text" => "text",
            other => panic!("unexpected type {other}"),
        };
        let shape: &mut Shape = shapes.entry(row.get("table_name")).or_default();
        shape.columns.insert(row.get("name"), Column { kind, nullable: row.get("nullable") });
    }
    let unique = "SELECT t.relname::text AS table_name, i.indexrelid::regclass::text AS set_name,
            a.attname::text AS name
        FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY (i.indkey)
        WHERE i.indisunique AND n.nspname = 'public' AND t.relname NOT LIKE '\\_sqlx%'";
    add_unique(&mut shapes, sqlx::query_as(unique).fetch_all(engine.pool()).await.unwrap());
    shapes
}

fn add_unique(shapes: &mut Shapes, rows: Vec<(String, String, String)>) {
    let mut sets: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for (table, set, column) in rows {
        sets.entry((table, set)).or_default().insert(column);
    }
    for ((table, _), columns) in sets {
        shapes.entry(table).or_default().unique.insert(columns);
    }
}

/// The policies hold by themselves, for the role that owns the tables, whatever the SQL says.
#[tokio::test]
async fn postgres_shows_a_scope_its_own_rows_only() {
    let (postgres, _server) = postgres().await;
    let (a, b) = (uuid::Uuid::now_v7(), uuid::Uuid::now_v7());
    let insert = format!(
        "SELECT set_config('adit.scope', 'system', false);
        INSERT INTO tenants (id, name, endpoints_reserved, created_at) VALUES ('{a}', 'a', 0, 0), ('{b}', 'b', 0, 0);
        INSERT INTO endpoints (id, tenant_id, kind, hostname, epoch, created_at)
            VALUES ('{a}', '{a}', 1, 'a', 0, 0), ('{b}', '{b}', 1, 'b', 0, 0);
        INSERT INTO usage (node_id, boot_id, endpoint_id, hour, tenant_id, requests, connections, in_bytes, out_bytes)
            VALUES ('{a}', '{a}', '{a}', 1, '{a}', 0, 0, 0, 0), ('{a}', '{a}', '{b}', 1, '{b}', 0, 0, 0, 0)"
    );
    let mut connection = postgres.pool().acquire().await.unwrap();
    connection.execute(sqlx::raw_sql(AssertSqlSafe(insert))).await.unwrap();
    for (scope, expected) in
        [("", 0), ("system", 2), (&*a.to_string(), 1), (&*uuid::Uuid::nil().to_string(), 0)]
    {
        for table in ["tenants", "endpoints", "usage"] {
            sqlx::query("SELECT set_config('adit.scope', $1, false)")
                .bind(scope)
                .execute(&mut *connection)
                .await
                .unwrap();
            let count = format!("SELECT count(*) FROM {table}");
            let seen: i64 =
                sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut *connection).await.unwrap();
            assert_eq!(seen, expected, "{table} in scope {scope:?}");
        }
    }
    let scope = a.to_string();
    sqlx::query("SELECT set_config('adit.scope', $1, false)")
        .bind(scope)
        .execute(&mut *connection)
        .await
        .unwrap();
    let foreign = format!(
        "INSERT INTO endpoints (id, tenant_id, kind, hostname, epoch, created_at)
            VALUES ('{}', '{b}', 1, 'c', 0, 0)",
        uuid::Uuid::now_v7()
    );
    assert!(connection.execute(AssertSqlSafe(foreign).into_sql_str()).await.is_err());
    let stolen = connection.execute("UPDATE endpoints SET epoch = 9 WHERE hostname = 'b'").await.unwrap();
    assert_eq!(stolen.rows_affected(), 0);
}

/// Another process may have the file's write lock for a moment, and not for ever.
#[tokio::test]
async fn a_lock_of_another_process_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adit.db");
    let (ours, theirs) = (SqliteEngine::open(&path).await.unwrap(), SqliteEngine::open(&path).await.unwrap());
    let held = theirs.write().await.unwrap();
    let begun = Instant::now();
    assert!(ours.write().await.is_err());
    let waited = begun.elapsed();
    assert!(waited >= SQLITE_BUSY_DEADLINE, "{waited:?}");
    drop(held);
    drop(ours.write().await.unwrap());
}

/// The deadlines are all that this runtime waits for, so its clock goes on to them.
#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://adit@{}/adit?sslmode=disable", silent.local_addr().unwrap());
    let begun = tokio::time::Instant::now();
    let opened = Store::open(&DatabaseUrl::parse(&url).unwrap()).await;
    assert!(matches!(opened, Err(OpenError::Deadline)));
    // Once for all tries, and once to find out why.
    assert_eq!(begun.elapsed().as_secs(), 2 * STATEMENT_DEADLINE.as_secs());
    assert!(2 * STATEMENT_DEADLINE < OPEN_DEADLINE);
}
