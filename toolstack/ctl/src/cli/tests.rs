use super::*;
use clap::CommandFactory;

#[test]
fn the_command_line_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn forms_that_scripts_rely_on() {
    let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(|c| c.command);
    let Ok(Command::Run(run)) = parse("xenpodctl run --rm --name n --memory 64 --cpus 2 -e A=b img -- sh -c x") else {
        panic!("run");
    };
    assert_eq!((run.rm, run.shape.memory, run.shape.cpus), (true, Some(64), Some(2)));
    assert_eq!((run.shape.image.as_deref(), run.shape.command.join(" ")), (Some("img"), "sh -c x".to_string()));
    let Ok(Command::Run(run)) = parse("xenpodctl run img ls -l") else { panic!("run without --") };
    assert_eq!(run.shape.command, ["ls", "-l"]);
    let Ok(Command::Exec(exec)) = parse("xenpodctl exec pod -c web -it -- sh -l") else { panic!("exec") };
    assert_eq!((exec.container.as_deref(), exec.interactive, exec.tty), (Some("web"), true, true));
    assert_eq!(exec.command, ["sh", "-l"]);
    let Ok(Command::Kill(kill)) = parse("xenpodctl kill -s SIGUSR1 -c web pod") else { panic!("kill") };
    assert_eq!((kill.signal.signal, kill.pod.as_str()), (10, "pod"));
    assert!(parse("xenpodctl kill -s NOSUCH pod").is_err());
    let Ok(Command::Container(ContainerCommand::Create(create))) =
        parse("xenpodctl container create --start --name c pod img sh -c x")
    else {
        panic!("container create");
    };
    assert_eq!((create.start, create.command.join(" ")), (true, "sh -c x".to_string()));
    assert!(parse("xenpodctl container create pod").is_err());
    assert!(parse("xenpodctl container create -f c.yaml pod").is_ok());
    assert!(parse("xenpodctl container rm -f pod a b").is_ok());
    assert!(parse("xenpodctl container rename pod a b").is_ok());
    assert!(parse("xenpodctl logs pod -c web -f").is_ok());
    let Ok(Command::Logs(logs)) = parse("xenpodctl logs --tail 5 --since 2026-01-02T03:04:05Z -t -p pod") else {
        panic!("logs")
    };
    assert_eq!((logs.tail, logs.since), (Some(5), Some(1_767_323_045_000_000)));
    assert!(logs.timestamps && logs.previous);
    assert!(parse("xenpodctl logs -f -p pod").is_err());
    assert!(parse("xenpodctl create -f pod.yaml").is_ok());
    let Ok(Command::Run(run)) = parse("xenpodctl run -it --rm img sh -i") else { panic!("run -it") };
    assert!(run.shape.interactive && run.shape.tty && run.shape.command == ["sh", "-i"]);
    assert!(parse("xenpodctl run -i -f pod.yaml").is_err());
    let Ok(Command::PortForward(forward)) = parse("xenpodctl port-forward pod 80 8080:81 :82") else {
        panic!("port-forward")
    };
    assert_eq!(forward.ports, [(80, 80), (8080, 81), (0, 82)]);
    for bad in ["0", "65536", "a:80", "80:", "80:0", "1:2:3", ""] {
        assert!(parse(&format!("xenpodctl port-forward pod {bad}")).is_err(), "{bad}");
    }
    assert!(parse("xenpodctl rm -f a b").is_ok());
    assert!(parse("xenpodctl events -f --since 5 --filter pod=a --filter type=pod-state").is_ok());
    assert!(parse("xenpodctl events --since yesterday").is_err());
    let Ok(Command::Stats(stats)) = parse("xenpodctl stats --no-stream --interval 5 a b") else { panic!("stats") };
    assert_eq!((stats.no_stream, stats.interval.as_secs(), stats.pods.len()), (true, 5, 2));
    let Ok(Command::Top(top)) = parse("xenpodctl top -i 500ms") else { panic!("top") };
    assert_eq!(top.interval.as_millis(), 500);
    assert!(parse("xenpodctl top --interval 10ms").is_err());
    assert!(parse("xenpodctl run -f pod.yaml --memory 5").is_err());
    let Ok(Command::Resize(resize)) = parse("xenpodctl resize --memory 128 --cpus 2 pod") else { panic!("resize") };
    assert_eq!((resize.memory, resize.cpus, resize.wait, resize.pod.as_str()), (Some(128), Some(2), 60, "pod"));
    assert!(parse("xenpodctl resize pod").is_err());
    let Ok(Command::Label(label)) = parse("xenpodctl label pod a=b c-") else { panic!("label") };
    assert_eq!(label.changes, ["a=b", "c-"]);
    let Ok(Command::Container(ContainerCommand::Update(update))) =
        parse("xenpodctl container update --memory 64Mi --cpus 1.5 pod web")
    else {
        panic!("container update")
    };
    assert_eq!((update.memory, update.cpus, update.container.as_str()), (Some(64 << 20), Some(1500), "web"));
    assert!(parse("xenpodctl container update pod web").is_err());
    assert!(parse("xenpodctl run").is_err());
    let Ok(Command::Run(run)) = parse("xenpodctl run --kernel debug --kernel-args quiet img") else { panic!("run") };
    assert_eq!((run.shape.kernel.as_deref(), run.shape.kernel_args.as_deref()), (Some("debug"), Some("quiet")));
    assert!(parse("xenpodctl run -f pod.yaml --kernel debug").is_err());
    let Ok(Command::Kernel(KernelCommand::Import(import))) =
        parse("xenpodctl kernel import --config c --default vmlinux mine")
    else {
        panic!("kernel import");
    };
    assert_eq!((import.default, import.unchecked, import.name.as_deref()), (true, false, Some("mine")));
    assert!(parse("xenpodctl kernel default").is_ok() && parse("xenpodctl kernel ls").is_ok());
    assert!(parse("xenpodctl kernel rm").is_err());
}
