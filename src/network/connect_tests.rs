//! Tests of connectors.

use std::net::TcpListener;

use super::*;

fn to(addresses: &[SocketAddr]) -> Connector {
    let place = |address: &SocketAddr| Place { address: *address, refuses: AtomicBool::new(false) };
    Connector {
        shown: "a name".to_owned(),
        addresses: addresses.iter().map(place).collect(),
        lookup: Nanos::ZERO,
        each_time: None,
        begun: Arc::default(),
        via: Via::Direct,
        tls: None,
        timeout: Duration::from_secs(20),
    }
}

#[test]
fn a_name_takes_time_to_resolve_and_an_address_none() {
    let lookup = |host| Connector::new(host, 1, None, Duration::ZERO).unwrap().lookup();
    assert!(lookup("localhost") > Nanos::ZERO);
    for address in ["127.0.0.1", "[::1]"] {
        assert_eq!(lookup(address), Nanos::ZERO, "{address}");
    }
}

#[tokio::test]
async fn a_name_is_resolved_once_or_by_each_connection() {
    let (listener, address) = listener();
    let once = to(&[address]);
    once.connect().await.expect("the address stands");
    // The name would not be found, if anybody asked.
    let anew = once.clone().resolving_each_time("no-such-host.invalid", address.port());
    let failure = anew.connect().await.expect_err("there is no such name");
    assert!(failure.message.contains("cannot resolve `no-such-host.invalid`"), "{failure:?}");
    let found = once.clone().resolving_each_time("localhost", address.port());
    found.connect().await.expect("the name is this machine's");
    let addressed = once.resolving_each_time("127.0.0.1", address.port());
    assert_eq!(addressed.each_time, None);
    assert_eq!(accepted(&listener), 2);
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn accepted(listener: &TcpListener) -> usize {
    std::iter::from_fn(|| listener.accept().ok()).count()
}

#[test]
fn addresses_of_a_name_share_connections_and_one_that_refuses_is_passed_over() {
    let (first, second) = (listener(), listener());
    let (gone, refusing) = listener();
    drop(gone);
    let connector = to(&[first.1, refusing, second.1]);
    let connect = move || async move {
        let mut kept = Vec::new();
        for _ in 0..20 {
            kept.push(connector.connect().await.unwrap());
        }
        kept.len()
    };
    assert_eq!(
        crate::network::thread::wait_for(crate::threads::other("sharing"), connect).unwrap(),
        20
    );
    let counts = [accepted(&first.0), accepted(&second.0)];
    assert_eq!(counts.iter().sum::<usize>(), 20);
    assert!(counts.iter().all(|count| *count >= 6), "{counts:?}");
}

#[test]
fn a_name_of_both_families_is_reached_where_either_of_them_refuses() {
    let Ok(six) = TcpListener::bind("[::1]:0") else { return };
    let (four, at_four) = listener();
    let at_six = six.local_addr().unwrap();
    let gone = |address: &str| TcpListener::bind(address).unwrap().local_addr().unwrap();
    for addresses in [[gone("[::1]:0"), at_four], [gone("127.0.0.1:0"), at_six]] {
        for turn in 0..4 {
            let connector = to(&addresses);
            connector.begun.store(turn, Ordering::Relaxed);
            let connect = move || async move { connector.connect().await.map(|_| ()) };
            crate::network::thread::wait_for(crate::threads::other("families"), connect)
                .unwrap()
                .unwrap();
        }
    }
    assert_eq!(accepted(&four), 4);
}

#[test]
fn where_no_address_answers_the_last_error_is_told() {
    let (gone, refusing) = listener();
    drop(gone);
    let connector = to(&[refusing, refusing]);
    let connect = move || async move { connector.connect().await.map(|_| ()).unwrap_err() };
    let failure =
        crate::network::thread::wait_for(crate::threads::other("refused"), connect).unwrap();
    assert_eq!(failure.kind, FailureKind::Connect);
    assert!(failure.message.contains("refused"), "{}", failure.message);
}

#[test]
fn a_proxy_that_has_no_address_is_named_with_its_variable() {
    let known =
        |name: &str| (name == "http_proxy").then(|| "http://no-such-proxy.invalid:3128".to_owned());
    let proxy = Proxy::on_the_way_to("h", false, known).expect("a URL").expect("it is set");
    let via = Via::Forward(Arc::new(proxy));
    let failure =
        Connector::through(via, "h", 80, None, Duration::from_secs(1)).expect_err("no name");
    for words in ["no-such-proxy.invalid", "`http_proxy`", "--no-proxy"] {
        assert!(failure.message.contains(words), "{failure:?}");
    }
}
