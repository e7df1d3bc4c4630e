//! Which blocks are merged: timelines before and after.
//!
//! A line is a block, written in the order of lines; a character is a window of two hours. A dot is no part of the
//! block; a capital letter is a GiB of it, others a MiB; `!` is a damaged block, `-` one of which half is deleted,
//! `%` a rollup.

#![expect(clippy::unwrap_used, reason = "clippy exempts test functions, not what they call")]

use proptest::prelude::*;
use std::collections::BTreeSet;
use tsdb_core::TimeRange;
use tsdb_core::block::{BlockId, BlockMeta, BlockStats, Rollup};
use tsdb_rollup::plan::{BlockInfo, Compaction, CompactionPolicy, Reason, next_compaction};

const WIDTH: i64 = 2 * 3_600_000;

fn info(id: u128, start: i64, windows: i64, bytes: u64) -> BlockInfo {
    let range = TimeRange::new(start * WIDTH, (start + windows) * WIDTH - 1).unwrap();
    let meta = BlockMeta {
        id: BlockId(id),
        range,
        stats: BlockStats::default(),
        level: 1,
        sources: vec![BlockId(id)],
        parents: vec![],
        incomplete: vec![],
        rollup: None,
    };
    BlockInfo { meta, bytes, deleted: 0.0, is_damaged: false }
}

/// The blocks of a drawing.
fn parse(drawing: &[&str]) -> Vec<BlockInfo> {
    let block = |(line, text): (usize, &&str)| {
        let start = text.find(|c| c != '.').unwrap();
        let mark = text.chars().nth(start).unwrap();
        let windows = text.trim_matches('.').len();
        let bytes = windows as u64 * if mark.is_uppercase() { 1 << 30 } else { 1 << 20 };
        let mut block = info(line as u128 + 1, start as i64, windows as i64, bytes);
        block.is_damaged = mark == '!';
        block.deleted = if mark == '-' { 0.5 } else { 0.0 };
        if mark == '%' {
            block.meta.rollup = Some(Rollup { resolution_ms: 300_000, covers: block.meta.range });
        }
        block
    };
    drawing.iter().enumerate().map(block).collect()
}

/// Lines of `#` for the blocks, by start and then in the order in which they were written.
fn draw(blocks: &[BlockInfo], width: usize) -> Vec<String> {
    let mut blocks: Vec<&BlockInfo> = blocks.iter().collect();
    blocks.sort_by_key(|block| (block.meta.range.start(), block.meta.sources.iter().max().copied()));
    let line = |block: &&BlockInfo| {
        let is_in = |at: usize| block.meta.range.contains(at as i64 * WIDTH);
        (0..width).map(|at| if is_in(at) { '#' } else { '.' }).collect()
    };
    blocks.iter().map(line).collect()
}

/// Replaces the inputs of `compaction` by their result.
fn carry_out(blocks: &mut Vec<BlockInfo>, compaction: &Compaction) {
    let is_input = |block: &BlockInfo| compaction.inputs.contains(&block.meta.id);
    let inputs: Vec<BlockInfo> = blocks.iter().filter(|block| is_input(block)).cloned().collect();
    assert_eq!(inputs.len(), compaction.inputs.len(), "every input is a block, once");
    assert!(inputs.iter().all(|input| !input.is_damaged && input.meta.is_raw()));
    let newest = blocks.iter().map(|block| block.meta.id.0).max().unwrap();
    let mut result = info(newest + 1, 0, 1, inputs.iter().map(|input| input.bytes).sum());
    result.meta.range = inputs.iter().map(|input| input.meta.range).reduce(|a, b| a.union(&b)).unwrap();
    result.meta.sources = inputs.iter().flat_map(|input| input.meta.sources.clone()).collect();
    blocks.retain(|block| !is_input(block));
    blocks.push(result);
}

/// Carries out what is planned until nothing is, `end` windows being complete.
fn settle(drawing: &[&str], end: i64, policy: &CompactionPolicy) -> Vec<String> {
    let mut blocks = parse(drawing);
    while let Some(compaction) = next_compaction(&blocks, end * WIDTH, None, policy) {
        carry_out(&mut blocks, &compaction);
    }
    draw(&blocks, drawing[0].len())
}

fn policy(max_windows: i64) -> CompactionPolicy {
    CompactionPolicy { max_range_ms: max_windows * WIDTH, ..CompactionPolicy::default() }
}

#[test]
fn three_windows_become_one_when_their_range_is_complete() {
    let blocks = ["a.....", ".a....", "..a...", "...a.."];
    assert_eq!(settle(&blocks, 2, &policy(9)), ["#.....", ".#....", "..#...", "...#.."]);
    assert_eq!(settle(&blocks, 4, &policy(9)), ["###...", "...#.."]);
    assert_eq!(settle(&blocks, 8, &policy(9)), ["###...", "...#.."], "the range of nine is not over");
    assert_eq!(settle(&blocks, 9, &policy(9)), ["####.."]);
}

#[test]
fn what_waited_for_long_is_merged_at_once() {
    let lines: Vec<String> = (0..9).map(|at| format!("{}a{}", ".".repeat(at), ".".repeat(9 - at))).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let first = next_compaction(&parse(&lines), 10 * WIDTH, None, &policy(9)).unwrap();
    assert_eq!(first.inputs.len(), 9);
    assert_eq!(first.reason, Reason::Range(TimeRange::new(0, 9 * WIDTH - 1).unwrap()));
}

#[test]
fn blocks_on_two_sides_of_a_border_or_a_gap_stay_apart() {
    assert_eq!(settle(&["..a.....", "...a...."], 100, &policy(3)), ["..#.....", "...#...."]);
    assert_eq!(settle(&["a..........", "..........a"], 100, &policy(9)), ["#..........", "..........#"]);
    assert_eq!(settle(&["a..", "..a"], 100, &policy(9)), ["###"], "a short gap is within a range");
}

#[test]
fn late_blocks_are_merged_with_what_they_lie_over() {
    assert_eq!(settle(&["aaa...", "...a..", ".a...."], 6, &policy(3)), ["###...", "...#.."]);
    assert_eq!(settle(&["a.....", ".aaa..", "aa...."], 6, &policy(9)), ["####.."]);
}

#[test]
fn a_small_late_block_is_no_reason_to_write_a_large_one_anew() {
    assert_eq!(settle(&["AAA...", ".a...."], 6, &policy(3)), ["###...", ".#...."]);
    assert_eq!(settle(&["AAA...", ".A...."], 6, &policy(3)), ["###..."]);
    let many = [&["AAA..."][..], &[".a...."; 8]].concat();
    assert_eq!(settle(&many, 6, &policy(3)), ["###..."]);
}

#[test]
fn a_damaged_block_stays_and_the_others_are_planned_around_it() {
    assert_eq!(settle(&["a.....", ".!....", "..a..."], 6, &policy(3)), ["#.....", ".#....", "..#..."]);
    assert_eq!(settle(&["a.....", "..a...", ".!...."], 6, &policy(3)), ["###...", ".#...."]);
    assert_eq!(settle(&["aaa...", ".!....", ".a...."], 6, &policy(3)), ["###...", ".#....", ".#...."]);
    assert_eq!(settle(&["aaa...", ".a....", ".!...."], 6, &policy(3)), ["###...", ".#...."]);
}

#[test]
fn rollups_are_never_merged_with_samples() {
    let after = settle(&["a.....", ".%....", "..a...", "%%%..."], 6, &policy(3));
    assert_eq!(after, ["###...", "###...", ".#...."]);
}

#[test]
fn blocks_with_many_deleted_samples_are_written_anew_once() {
    let compaction = next_compaction(&parse(&["---..."]), 9 * WIDTH, None, &policy(3)).unwrap();
    assert_eq!(compaction, Compaction { inputs: vec![BlockId(1)], reason: Reason::Deleted });
    assert_eq!(settle(&["---..."], 9, &policy(3)), ["###..."]);
}

#[test]
fn what_is_about_to_expire_is_left_alone() {
    let blocks = parse(&["a.....", ".a....", "..a..."]);
    assert!(next_compaction(&blocks, 9 * WIDTH, Some(0), &policy(3)).is_some());
    assert_eq!(next_compaction(&blocks, 9 * WIDTH, Some(3 * WIDTH), &policy(3)), None);
}

#[test]
fn blocks_that_are_too_large_or_too_many_stay_apart() {
    let small = CompactionPolicy { max_bytes: (2 << 30) - 1, ..policy(9) };
    assert_eq!(settle(&["A..", ".A.", "..A"], 100, &small), ["#..", ".#.", "..#"]);
    let few = CompactionPolicy { max_inputs: 3, ..policy(9) };
    assert_eq!(settle(&["A...", ".A..", "..A.", "...A"], 100, &few), ["####"]);
}

fn any_block() -> impl Strategy<Value = (i64, i64, u64, u8)> {
    (0..40_i64, prop_oneof![Just(1), 1..4_i64, 1..30_i64], 0..3_u64 << 30, 0..20_u8)
}

fn any_policy() -> impl Strategy<Value = CompactionPolicy> {
    (1..90_i64, 0..9_u64 << 30, 2..12_usize).prop_map(|(windows, max_bytes, max_inputs)| CompactionPolicy {
        max_bytes,
        max_inputs,
        ..policy(windows)
    })
}

fn any_timeline() -> impl Strategy<Value = Vec<BlockInfo>> {
    prop::collection::vec(any_block(), 0..25).prop_map(|drawn| {
        let block = |(id, (start, windows, bytes, kind)): (u128, (i64, i64, u64, u8))| {
            let mut block = info(id, start, windows, bytes);
            block.is_damaged = kind == 0;
            block.deleted = if kind == 1 { 0.3 } else { 0.01 };
            if kind == 2 {
                block.meta.rollup = Some(Rollup { resolution_ms: 300_000, covers: block.meta.range });
            }
            block
        };
        (1..).zip(drawn).map(block).collect()
    })
}

fn sources(blocks: &[BlockInfo]) -> Vec<BlockId> {
    let mut all: Vec<_> = blocks.iter().flat_map(|block| block.meta.sources.clone()).collect();
    all.sort_unstable();
    all
}

/// Asserts that the compaction keeps to its bounds and that queries see the same after it.
fn assert_lawful(blocks: &[BlockInfo], compaction: &Compaction, end: i64, policy: &CompactionPolicy) {
    let is_input = |block: &&BlockInfo| compaction.inputs.contains(&block.meta.id);
    let inputs: Vec<&BlockInfo> = blocks.iter().filter(is_input).collect();
    let range = inputs.iter().map(|input| input.meta.range).reduce(|a, b| a.union(&b)).unwrap();
    assert!(range.end() < end * WIDTH);
    if compaction.reason != Reason::Deleted {
        let length = |range: TimeRange| range.end() - range.start();
        let longest = inputs.iter().map(|input| length(input.meta.range)).max().unwrap();
        assert!(length(range) <= longest.max(policy.max_range_ms));
        assert!(inputs.len() <= policy.max_inputs);
        assert!(inputs.iter().map(|input| input.bytes).sum::<u64>() <= policy.max_bytes);
    }
    let newest = |block: &BlockInfo| block.meta.sources.iter().max().copied().unwrap();
    let members: BTreeSet<BlockId> = inputs.iter().map(|input| newest(input)).collect();
    let others = blocks.iter().filter(|block| !is_input(block) && block.meta.is_raw());
    for other in others.filter(|block| block.meta.range.overlaps(&range)) {
        let earlier = members.iter().filter(|member| **member < newest(other)).count();
        assert!(earlier == 0 || earlier == members.len(), "nobody changes places with {other:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn plans_keep_the_laws_and_come_to_an_end(
        mut blocks in any_timeline(),
        end in 0..60_i64,
        policy in any_policy(),
    ) {
        let bound = blocks.len() + blocks.iter().filter(|block| block.deleted > 0.1).count();
        let before = sources(&blocks);
        let mut steps = 0;
        while let Some(compaction) = next_compaction(&blocks, end * WIDTH, None, &policy) {
            let again = next_compaction(&blocks, end * WIDTH, None, &policy);
            prop_assert_eq!(again.as_ref(), Some(&compaction));
            assert_lawful(&blocks, &compaction, end, &policy);
            carry_out(&mut blocks, &compaction);
            prop_assert_eq!(&sources(&blocks), &before, "every source is in exactly one block");
            steps += 1;
            prop_assert!(steps <= bound);
        }
    }
}
