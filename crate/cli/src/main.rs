//! The `loraloom` command line: the library's own code, run on files.
//!
//! | file | owns |
//! |---|---|
//! | `main` | the commands, and how they end |
//! | `error` | why a command failed |
//! | `output` | results as JSON or text, and progress |
//! | `arguments`, `settings` | options that several commands share |
//! | `folder` | a folder on this computer, or in a repository of a hub |
//! | `hub` | a hub's files, in the cache that transformers uses |
//! | `model` | a model's files, and a session on them |
//! | `library` | modules read from PEFT folders or from a registry |
//! | `location` | a registry's file by its path or its address |
//! | `model_card` | the README.md of a model or module |
//! | `html`, `module_page` | pages for static hosts |
//! | the others | one command each |

mod arguments;
mod check;
mod compose;
mod error;
mod evaluate;
mod export;
mod folder;
mod generate;
mod html;
mod hub;
mod library;
mod location;
mod model;
mod model_card;
mod module_page;
mod output;
mod quantize;
mod registry;
mod route;
mod score;
mod settings;
mod share;
mod tune;
mod verify;
mod weave;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use loraloom::kernels::parallel::{spawn, start_threads};
use loraloom::session::ErrorCode;

use error::CliError;
use output::Output;

/// Compose LoRA modules for Flan-T5 from a few examples.
#[derive(Parser)]
#[command(name = "loraloom", version)]
struct Cli {
    /// Print the result, or the error, as one JSON object.
    #[arg(long, global = true)]
    json: bool,
    /// Number of threads (default: the number of cores).
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Score(score::Score),
    Generate(generate::Generate),
    Route(route::Route),
    Compose(compose::Compose),
    Tune(tune::Tune),
    Evaluate(evaluate::Evaluate),
    Export(export::Export),
    Quantize(quantize::Quantize),
    Share(share::Share),
    #[command(subcommand)]
    Registry(registry::RegistryCommand),
    Verify(verify::Verify),
}

fn main() -> ExitCode {
    // A negative number is the value of an option, whose limits its error gives.
    let command = Cli::command().mut_subcommands(|command| command.allow_negative_numbers(true));
    let parsed = command.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && std::env::args().any(|option| option == "--json") => {
            output::error(true, ErrorCode::InvalidInput, error.render().to_string().trim());
            return ExitCode::from(2);
        }
        Err(error) => error.exit(),
    };
    let json = cli.json;
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(json, error.code(), &error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), CliError> {
    if let Some(threads) = cli.threads {
        start_threads(threads, spawn);
    }
    let output = Output::new(cli.json);
    match cli.command {
        Command::Score(command) => command.run(&output),
        Command::Generate(command) => command.run(&output),
        Command::Route(command) => command.run(&output),
        Command::Compose(command) => command.run(&output),
        Command::Tune(command) => command.run(&output),
        Command::Evaluate(command) => command.run(&output),
        Command::Export(command) => command.run(&output),
        Command::Quantize(command) => command.run(&output),
        Command::Share(command) => command.run(&output),
        Command::Registry(command) => command.run(&output),
        Command::Verify(command) => command.run(&output),
    }
}
