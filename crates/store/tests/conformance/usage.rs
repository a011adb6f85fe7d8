//! What endpoints carried is taken down once, however often it is reported.

use std::time::Duration;

use adit_domain::access::{Action, Actor, Permit, Resource, authorize};
use adit_domain::id::{BootId, EndpointId, InstanceId, NodeId, TenantId};
use adit_domain::{Carried, Timestamp};
use adit_store::limits::LIST_ROWS_MAX;
use adit_store::{Name, Reported, StoreError};

use crate::fixture::{Fixture, NOW, Tenant, hostname, issue, manage, on_both_engines};

on_both_engines![
    reports_repeat_without_counting_twice,
    boots_nodes_and_hours_add_up,
    nobody_sees_another_tenants_usage,
    endpoints_that_do_not_exist_are_passed_over,
    old_hours_are_deleted,
    a_listing_has_so_many_rows_the_newest,
];

const HOUR: u32 = 498_673;

fn read(tenant: TenantId) -> Permit {
    authorize(&Actor::Operator, Action::ReadUsage, &Resource::Tenant(tenant)).unwrap()
}

fn hour(hour: u32) -> Timestamp {
    Timestamp::from_micros(0).plus(Duration::from_hours(hour.into()))
}

fn carried(requests: u64, connections: u64, in_bytes: u64, out_bytes: u64) -> Carried {
    Carried { requests, connections, in_bytes, out_bytes }
}

async fn endpoint(fixture: &Fixture, tenant: Tenant, name: &str) -> EndpointId {
    fixture.claim(tenant, Name::Hostname(&hostname(name)), InstanceId::new(), 0).await.unwrap().id
}

async fn reports_repeat_without_counting_twice(fixture: Fixture) {
    let tenant = fixture.tenant("acme").await;
    let endpoint = endpoint(&fixture, tenant, "shop").await;
    let (usage, node, boot) = (fixture.store.usage(), NodeId::new(), BootId::new());
    let row = |carried| [Reported { node, boot, endpoint, hour: HOUR, carried }];
    let late = carried(1, 0, 10, 100);
    for carried in [late, carried(5, 1, 50, 500), late, carried(5, 1, 50, 500), carried(4, 2, 51, 499)] {
        assert_eq!(usage.report(&row(carried)).await.unwrap(), 1);
    }
    // Each number by itself is the largest that was reported.
    let totals = usage.totals(&read(tenant.id), hour(HOUR)).await.unwrap();
    assert_eq!(totals.len(), 1);
    assert_eq!((totals[0].carried, totals[0].hour), (carried(5, 2, 51, 500), hour(HOUR)));
    assert_eq!((totals[0].endpoint, totals[0].hostname.as_str()), (endpoint, "shop.example.com"));
    // What no signed number can hold stays the largest one.
    usage.report(&row(carried(u64::MAX, 0, 0, 0))).await.unwrap();
    let most = usage.totals(&read(tenant.id), hour(HOUR)).await.unwrap()[0].carried.requests;
    assert_eq!(most, u64::try_from(i64::MAX).unwrap());
}

async fn boots_nodes_and_hours_add_up(fixture: Fixture) {
    let tenant = fixture.tenant("acme").await;
    let (shop, blog) = (endpoint(&fixture, tenant, "shop").await, endpoint(&fixture, tenant, "blog").await);
    let usage = fixture.store.usage();
    for node in [NodeId::new(), NodeId::new()] {
        for boot in [BootId::new(), BootId::new()] {
            let row = |endpoint, hour| Reported { node, boot, endpoint, hour, carried: carried(1, 2, 3, 4) };
            let rows = [row(shop, HOUR), row(shop, HOUR + 1), row(blog, HOUR), row(shop, HOUR - 1)];
            assert_eq!(usage.report(&rows).await.unwrap(), rows.len());
        }
    }
    let permit = read(tenant.id);
    let totals = usage.totals(&permit, hour(HOUR)).await.unwrap();
    let seen: Vec<_> = totals.iter().map(|row| (row.endpoint, row.hour, row.carried)).collect();
    let (four, eight) = (carried(4, 8, 12, 16), carried(8, 16, 24, 32));
    assert_eq!(seen, [(blog, hour(HOUR), four), (shop, hour(HOUR + 1), eight)]);

    let by_hour = usage.by_hour(&permit, hour(HOUR)).await.unwrap();
    let seen: Vec<_> = by_hour.iter().map(|row| (row.endpoint, row.hour, row.carried)).collect();
    assert_eq!(seen, [(shop, hour(HOUR + 1), four), (blog, hour(HOUR), four), (shop, hour(HOUR), four)]);
}

async fn nobody_sees_another_tenants_usage(fixture: Fixture) {
    let (a, b) = (fixture.tenant("a").await, fixture.tenant("b").await);
    let endpoint = endpoint(&fixture, a, "shop").await;
    let usage = fixture.store.usage();
    let row = Reported {
        node: NodeId::new(),
        boot: BootId::new(),
        endpoint,
        hour: HOUR,
        carried: carried(1, 1, 1, 1),
    };
    usage.report(&[row]).await.unwrap();
    for outsider in [b.id, TenantId::new(), TenantId::from_bytes([0; 16])] {
        assert!(usage.totals(&read(outsider), hour(0)).await.unwrap().is_empty());
        assert!(usage.by_hour(&read(outsider), hour(0)).await.unwrap().is_empty());
    }
    for permit in [manage(a.id), issue(a.id)] {
        assert!(matches!(usage.totals(&permit, NOW).await, Err(StoreError::Permit)));
        assert!(matches!(usage.by_hour(&permit, NOW).await, Err(StoreError::Permit)));
    }
    assert_eq!(usage.totals(&read(a.id), hour(0)).await.unwrap().len(), 1);
}

async fn endpoints_that_do_not_exist_are_passed_over(fixture: Fixture) {
    let tenant = fixture.tenant("acme").await;
    let known = endpoint(&fixture, tenant, "shop").await;
    let row = |endpoint| Reported {
        node: NodeId::new(),
        boot: BootId::new(),
        endpoint,
        hour: HOUR,
        carried: carried(1, 1, 1, 1),
    };
    let rows = [row(EndpointId::new()), row(known)];
    let usage = fixture.store.usage();
    assert_eq!(usage.report(&rows).await.unwrap(), 1);
    assert_eq!(usage.totals(&read(tenant.id), hour(0)).await.unwrap().len(), 1);
}

async fn old_hours_are_deleted(fixture: Fixture) {
    let tenant = fixture.tenant("acme").await;
    let endpoint = endpoint(&fixture, tenant, "shop").await;
    let (node, boot) = (NodeId::new(), BootId::new());
    let rows = [HOUR - 1, HOUR, HOUR + 1].map(|hour| Reported {
        node,
        boot,
        endpoint,
        hour,
        carried: carried(1, 1, 1, 1),
    });
    let usage = fixture.store.usage();
    usage.report(&rows).await.unwrap();
    assert_eq!(usage.prune(hour(HOUR).plus(Duration::from_mins(59))).await.unwrap(), 1);
    assert_eq!(usage.by_hour(&read(tenant.id), hour(0)).await.unwrap().len(), 2);
}

async fn a_listing_has_so_many_rows_the_newest(fixture: Fixture) {
    let tenant = fixture.tenant("acme").await;
    let endpoint = endpoint(&fixture, tenant, "shop").await;
    let (usage, node, boot) = (fixture.store.usage(), NodeId::new(), BootId::new());
    let rows: Vec<_> = (0..=LIST_ROWS_MAX)
        .map(|n| Reported { node, boot, endpoint, hour: HOUR + n, carried: carried(1, 0, 0, 0) })
        .collect();
    usage.report(&rows).await.unwrap();
    let newest = hour(HOUR + LIST_ROWS_MAX);
    for (rows, listed) in [
        (LIST_ROWS_MAX - 1, LIST_ROWS_MAX - 1),
        (LIST_ROWS_MAX, LIST_ROWS_MAX),
        (LIST_ROWS_MAX + 1, LIST_ROWS_MAX),
    ] {
        let since = hour(HOUR + LIST_ROWS_MAX + 1 - rows);
        let list = usage.by_hour(&read(tenant.id), since).await.unwrap();
        assert_eq!((list.len(), list[0].hour), (listed as usize, newest));
    }
}
