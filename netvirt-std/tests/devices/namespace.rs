//! Network namespaces.

use std::fs::File;
use std::os::fd::AsRawFd;

use netvirt_std::device::namespace::Namespace;

use crate::support::{namespace, of_this_thread};

#[test]
fn work_is_done_inside_and_the_caller_stays_outside() {
    let Some(namespace) = namespace() else { return };
    let outside = of_this_thread();
    let inside = namespace.run_inside(of_this_thread).unwrap();
    assert_ne!(inside, outside);
    assert_eq!(of_this_thread(), outside);
    assert_eq!(
        Namespace::current().run_inside(of_this_thread).unwrap(),
        outside
    );

    let file = namespace.run_inside(|| File::open("/proc/thread-self/ns/net"));
    let file = file.unwrap().unwrap();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let by_path = Namespace::open(&path).unwrap();
    drop((namespace, file));
    assert_eq!(by_path.run_inside(of_this_thread).unwrap(), inside);
}

#[test]
fn a_panic_inside_reaches_the_caller() {
    let Some(namespace) = namespace() else { return };
    let work = || namespace.run_inside(|| panic!("inside"));
    let panicked = std::panic::catch_unwind(work).unwrap_err();
    assert_eq!(*panicked.downcast::<&str>().unwrap(), "inside");
}

#[test]
fn a_namespace_that_does_not_exist_is_named() {
    let error = Namespace::open("netvirt-no-such").unwrap_err();
    assert_eq!(
        error.to_string(),
        "network namespace netvirt-no-such does not exist; make it with `ip netns add netvirt-no-such`"
    );
    let error = Namespace::open("/no/such").unwrap_err();
    assert_eq!(
        error.to_string(),
        "network namespace /no/such does not exist"
    );
}

#[test]
fn what_is_no_namespace_is_not_entered() {
    let file = Namespace::open("/dev/null").unwrap();
    let error = file.run_inside(|| unreachable!()).unwrap_err();
    assert_eq!(error.to_string(), "/dev/null is no network namespace");
}
