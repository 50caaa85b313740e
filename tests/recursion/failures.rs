//! Every row once more, with closures that fail or panic at their end.

use crate::{
    common::within,
    row::{Ending, Row},
    rows_other_keys::*,
    rows_own_key::*,
    rows_whole_map::*,
};

fn all_rows() -> Vec<Row> {
    let mut rows = vec![
        row_0(),
        row_0_own(),
        row_0_own_present(),
        row_a_remove(),
        row_a_retain(),
        row_a_clear(),
        row_b(),
        row_c(),
        row_d(),
        row_e(),
        row_f(),
        row_g_remove(),
        row_g_clear(),
        row_h(),
        row_i(),
        row_j(),
        row_k(),
        row_l(),
        row_m(),
        row_p(),
        row_present_cleared(),
    ];
    rows.extend(rows_absent_own());
    rows.extend(rows_present_own());
    rows
}

#[test]
fn row_o_a_failure_keeps_what_was_written_inside_and_changes_nothing_else() {
    within(120, || all_rows().iter().for_each(|row| row.check(Ending::Fails)));
}

#[test]
fn row_z_a_panic_keeps_what_was_written_inside_and_changes_nothing_else() {
    within(120, || all_rows().iter().for_each(|row| row.check(Ending::Panics)));
}
