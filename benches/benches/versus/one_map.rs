//! A map of a comparison in a process of its own: this program, started anew.
//!
//! As users have it, a map has a heap to itself, and it does not depend on who else is compared. In one
//! process with all others, `exchange` took dashmap a sixth less time than in one with two others, and
//! binlock the same.
//!
//! Both ends run the same job (see `workloads::groups`): where the referee wants something of a
//! map, it gives an order, and the map's process, which has come to the same point by then, does it and
//! answers. An order is a line on its standard input, an answer a line of JSON on its standard output.
//! Orders have names, so that it would be noticed if the two were not at the same point.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{self, Child, ChildStdin, ChildStdout, Command, Stdio};
use std::{env, thread};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What the command line begins with when it is not a user's.
pub const ONE_MAP: &str = "one-map";

/// The referee's end.
pub struct Process {
    name: &'static str,
    child: Child,
    /// `None` when there will not be any more.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Process {
    /// Starts one for the contender of this number and name in the job with that number. To be called
    /// from the job's process, whose command line is handed on. The program is this one, or another
    /// build of it.
    pub fn start(job: usize, contender: usize, name: &'static str, program: Option<&Path>) -> Self {
        let same = || env::current_exe().expect("the program is still there");
        let mut child = Command::new(program.map_or_else(same, Path::to_owned))
            .args([ONE_MAP, &job.to_string(), &contender.to_string()])
            .args(env::args_os().skip(3))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("processes can be started");
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { name, child, orders, answers }
    }

    /// Gives it an order, and waits for what that comes to.
    pub fn turn<A: DeserializeOwned>(&mut self, order: &str) -> A {
        self.order(order);
        self.answer()
    }

    /// Gives it an order to which there is no answer.
    pub fn order(&mut self, order: &str) {
        let orders = self.orders.as_mut().expect("it has not been dropped");
        if writeln!(orders, "{order}").is_err() {
            self.has_ended();
        }
    }

    /// Waits for its next answer.
    pub fn answer<A: DeserializeOwned>(&mut self) -> A {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("a pipe can be read");
        if answer.is_empty() {
            self.has_ended();
        }
        serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("{} answered {answer:?}: {error}", self.name))
    }

    fn has_ended(&mut self) -> ! {
        match self.child.wait() {
            Ok(status) => panic!("the process of {} has ended: {status}", self.name),
            Err(error) => panic!("the process of {} has ended, or so: {error}", self.name),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends when there are no more orders.
        drop(self.orders.take());
        let status = self.child.wait();
        // It has dropped its map meanwhile, which can go wrong as well.
        let failed = !status.is_ok_and(|status| status.success());
        assert!(!failed || thread::panicking(), "the process of {} failed at its end", self.name);
    }
}

/// The map's end: waits for this order, and returns what comes with it.
pub fn expect(order: &str) -> String {
    let Some(line) = next_order() else {
        // It is not for a map to go on without a referee.
        process::exit(1);
    };
    match line.strip_prefix(order) {
        Some(rest) if rest.starts_with(char::is_whitespace) => rest.trim().to_owned(),
        _ => panic!("the referee ordered {line:?} where {order:?} is next"),
    }
}

/// The map's end: waits until there will not be any more orders. Whoever is done is not to work, nor to
/// give its memory back, while others have their turns.
pub fn expect_none() {
    if let Some(line) = next_order() {
        panic!("the referee ordered {line:?} where nothing is left to do");
    }
}

fn next_order() -> Option<String> {
    let mut line = String::new();
    match io::stdin().read_line(&mut line) {
        Ok(1..) => Some(line),
        // The referee has ended, in whatever way.
        Ok(0) | Err(_) => None,
    }
}

/// The map's end: says what an order has come to.
pub fn answer(answer: &impl Serialize) {
    let text = serde_json::to_string(answer).expect("it is numbers");
    if writeln!(io::stdout(), "{text}").is_err() {
        process::exit(1);
    }
}
