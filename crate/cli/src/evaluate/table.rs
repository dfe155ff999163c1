//! The table of the published experiment, with the paper's averages beside those of the rows.

use serde::Serialize;

use super::method::Method;
use super::rows::{Row, mean};

/// The paper's averages over the 27 tasks of what tunes weights by gradients.
const WITH_GRADIENTS: [(&str, f64); 3] =
    [("(IA)³", 31.6), ("LoRA tuning", 37.7), ("full tuning", 42.1)];

/// A column: a method, or the best of its draws.
#[derive(Serialize)]
pub struct Column {
    title: String,
    /// Average in the paper, where it has the method.
    paper: Option<f64>,
    /// Average over the tasks.
    average: f64,
    /// Exact match on each task, in percent.
    tasks: Vec<f64>,
}

/// Exact match in percent of each method on each task.
#[derive(Serialize)]
pub struct Table {
    tasks: Vec<String>,
    columns: Vec<Column>,
}

impl Table {
    /// The table of rows, each task with the same methods.
    pub fn new(rows: &[Row]) -> Self {
        let mut tasks: Vec<String> = Vec::new();
        let mut labels: Vec<String> = Vec::new();
        for row in rows {
            if !tasks.contains(&row.task) {
                tasks.push(row.task.clone());
            }
            if !labels.contains(&row.label()) {
                labels.push(row.label());
            }
        }
        let mut columns = Vec::new();
        for label in labels {
            let of: Vec<&Row> = rows.iter().filter(|row| row.label() == label).collect();
            let column = |title: String, paper, of_row: fn(&Row) -> f64| {
                let tasks: Vec<f64> = of.iter().map(|row| of_row(row)).collect();
                Column { title, paper, average: mean(&tasks), tasks }
            };
            let published = described(of[0]);
            let (title, paper) = published.unwrap_or((&label, None));
            columns.push(column(title.into(), paper, |row| mean(&row.exact_match)));
            if of[0].method == Method::Lorahub && published.is_some() {
                columns.push(column("LoraHub, best draw".into(), Some(41.2), |row| {
                    row.exact_match.iter().copied().fold(0.0, f64::max)
                }));
            }
        }
        Self { tasks, columns }
    }

    /// The table in Markdown.
    pub fn markdown(&self) -> String {
        let row = |first: &str, cells: Vec<String>| format!("| {first} | {} |", cells.join(" | "));
        let number = |value: f64| format!("{value:.1}");
        let of = |cell: &dyn Fn(&Column) -> String| self.columns.iter().map(cell).collect();
        let mut lines = vec![
            row("task", of(&|column| column.title.clone())),
            format!("|---{}|", "|--:".repeat(self.columns.len())),
        ];
        for (place, task) in self.tasks.iter().enumerate() {
            lines.push(row(task, of(&|column| number(column.tasks[place]))));
        }
        let paper = |column: &Column| column.paper.map_or(String::new(), number);
        lines.push(row("**average**", of(&|column| number(column.average))));
        lines.push(row("average in the paper", of(&paper)));
        let gradients = WITH_GRADIENTS.map(|(name, value)| format!("{name} {value:.1}"));
        lines.push(String::new());
        lines.push(format!("With gradients, in the paper: {}.", gradients.join(", ")));
        lines.join("\n")
    }
}

/// The title of a method's column and its average in the paper (LoraHub, tables 1 and 2); none for other
/// methods and budgets.
fn described(row: &Row) -> Option<(&'static str, Option<f64>)> {
    if row.budget != row.method.options().map(|options| options.budget) {
        return None;
    }
    match row.method {
        Method::ZeroShot => Some(("zero-shot", Some(27.0))),
        Method::InContext => Some(("five-shot in context", Some(37.3))),
        Method::BestSingle => Some(("best single of the draw", Some(31.7))),
        Method::Lorahub => Some(("LoraHub, mean of draws", Some(34.7))),
        Method::Default => Some(("LoraLoom", None)),
        _ => None,
    }
}
