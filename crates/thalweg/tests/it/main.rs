//! The program from outside: its help, its exit codes, its output; and the shape of the workspace.

mod adopt;
mod answers;
mod architecture;
mod backlog;
mod campaigns;
mod checks;
mod codes;
mod demo;
mod docs;
mod faults;
mod flows;
mod forecast;
mod help;
mod newcomer;
mod operators;
mod steering;
mod superdarn;
