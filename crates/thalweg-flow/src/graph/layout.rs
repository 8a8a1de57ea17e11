//! Where things stand in the picture: layers from left to right, lanes from top to bottom, rows inside a lane.
//!
//! An arrow that is longer than one layer is led through reserved places, so that no arrow ever runs over a box: boxes
//! stand in columns, and arrows change their height between columns only.

use std::collections::BTreeSet;

use super::{Drawing, Kind};

/// A box or a reserved place of an arrow.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The node; none for an arrow that passes through.
    pub(super) node: Option<usize>,
    pub(super) lane: usize,
    pub(super) layer: usize,
    pub(super) row: usize,
}

/// An arrow as the places that it goes through.
pub(super) struct Route {
    pub(super) edge: usize,
    pub(super) places: Vec<usize>,
}

pub(super) struct Layout {
    pub(super) places: Vec<Place>,
    pub(super) routes: Vec<Route>,
    pub(super) layers: usize,
    /// Lanes from top to bottom.
    pub(super) lane_order: Vec<usize>,
}

pub(super) fn layout(drawing: &Drawing) -> Layout {
    let back = back_edges(drawing);
    let layer = layers(drawing, &back);
    let mut places: Vec<Place> = drawing
        .nodes
        .iter()
        .enumerate()
        .map(|(id, node)| Place { node: Some(id), lane: node.lane, layer: layer[id], row: 0 })
        .collect();
    let mut routes = Vec::new();
    for (id, edge) in drawing.edges.iter().enumerate() {
        let (from, to) = (layer[edge.from], layer[edge.to]);
        let mut route = vec![edge.from];
        if from < to {
            for between in from + 1..to {
                // Several arrows from one box share their way as long as they stay in its lane.
                let lane = drawing.nodes[edge.from].lane;
                let shared = routes.iter().rev().find_map(|other: &Route| {
                    let step = between - from;
                    (other.places[0] == edge.from
                        && other.places.get(step).is_some_and(|place| places[*place].node.is_none()))
                    .then(|| other.places[step])
                });
                route.push(shared.unwrap_or_else(|| {
                    places.push(Place { node: None, lane, layer: between, row: 0 });
                    places.len() - 1
                }));
            }
        }
        route.push(edge.to);
        routes.push(Route { edge: id, places: route });
    }
    let layers = places.iter().map(|place| place.layer + 1).max().unwrap_or(0);
    let lane_order = lane_order(drawing, &layer);
    assign_rows(&mut places, &routes, layers, &lane_order);
    Layout { places, routes, layers, lane_order }
}

/// Returns the edges that lead back to where a walk came from; they do not count for the layers.
fn back_edges(drawing: &Drawing) -> BTreeSet<usize> {
    let mut next: Vec<Vec<(usize, usize)>> = vec![Vec::new(); drawing.nodes.len()];
    for (id, edge) in drawing.edges.iter().enumerate() {
        next[edge.from].push((edge.to, id));
    }
    let mut state = vec![0_u8; drawing.nodes.len()];
    let mut back = BTreeSet::new();
    for start in 0..drawing.nodes.len() {
        if state[start] != 0 {
            continue;
        }
        let mut stack = vec![(start, 0)];
        state[start] = 1;
        while let Some((node, at)) = stack.last_mut() {
            match next[*node].get(*at) {
                Some((to, id)) => {
                    *at += 1;
                    match state[*to] {
                        0 => {
                            state[*to] = 1;
                            stack.push((*to, 0));
                        }
                        1 => {
                            back.insert(*id);
                        }
                        _ => {}
                    }
                }
                None => {
                    state[*node] = 2;
                    stack.pop();
                }
            }
        }
    }
    back
}

/// Returns each node's layer: one more than the greatest of what leads to it.
fn layers(drawing: &Drawing, back: &BTreeSet<usize>) -> Vec<usize> {
    let mut layer = vec![0_usize; drawing.nodes.len()];
    // Without back edges at most as many rounds as there are nodes change anything.
    for _ in 0..drawing.nodes.len() {
        let mut changed = false;
        for (id, edge) in drawing.edges.iter().enumerate() {
            if !back.contains(&id) && layer[edge.to] <= layer[edge.from] {
                layer[edge.to] = layer[edge.from] + 1;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    // A source stands right before its first use, not far to the left of it.
    for (id, node) in drawing.nodes.iter().enumerate() {
        if node.kind == Kind::Product && !drawing.edges.iter().any(|edge| edge.to == id) {
            let first = drawing.edges.iter().filter(|edge| edge.from == id).map(|edge| layer[edge.to]).min();
            layer[id] = first.map_or(0, |first| first.saturating_sub(1));
        }
    }
    layer
}

/// Returns the lanes from top to bottom: where files come from first.
fn lane_order(drawing: &Drawing, layer: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..drawing.lanes.len()).collect();
    let mean = |lane: usize| {
        let layers: Vec<usize> =
            drawing.nodes.iter().enumerate().filter(|(_, node)| node.lane == lane).map(|(id, _)| layer[id]).collect();
        let first = layers.iter().min().copied().unwrap_or(usize::MAX);
        (first, layers.iter().sum::<usize>() * 100 / layers.len().max(1))
    };
    order.sort_by_key(|lane| (mean(*lane), *lane));
    order
}

/// Gives each place a row of its own inside its lane and layer, near to what leads to it.
fn assign_rows(places: &mut [Place], routes: &[Route], layers: usize, lane_order: &[usize]) {
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); places.len()];
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); places.len()];
    for route in routes {
        for pair in route.places.windows(2) {
            if places[pair[0]].layer < places[pair[1]].layer {
                before[pair[1]].push(pair[0]);
                after[pair[0]].push(pair[1]);
            }
        }
    }
    let rank: Vec<usize> = {
        let mut rank = vec![0; lane_order.len()];
        for (n, lane) in lane_order.iter().enumerate() {
            rank[*lane] = n;
        }
        rank
    };
    for sweep in 0..6 {
        let forward = sweep % 2 == 0;
        let order: Vec<usize> = if forward { (0..layers).collect() } else { (0..layers).rev().collect() };
        for layer in order {
            for lane in lane_order {
                let mut here: Vec<usize> =
                    (0..places.len()).filter(|id| places[*id].layer == layer && places[*id].lane == *lane).collect();
                // The wish in thousandths of a row; from another lane: its upper or lower side.
                let wish = |id: usize, places: &[Place]| -> i64 {
                    let near = if forward { &before[id] } else { &after[id] };
                    let same: Vec<i64> = near
                        .iter()
                        .filter(|other| places[**other].lane == *lane)
                        .map(|other| thousand(places[*other].row))
                        .collect();
                    if !same.is_empty() {
                        return same.iter().sum::<i64>() / i64::try_from(same.len()).unwrap_or(1);
                    }
                    match near.first() {
                        Some(other) if rank[places[*other].lane] > rank[*lane] => i64::MAX / 2,
                        Some(_) => -1,
                        None => thousand(places[id].row),
                    }
                };
                let wishes: Vec<(i64, usize)> = here.iter().map(|id| (wish(*id, places), *id)).collect();
                here.sort_by_key(|id| (wishes.iter().find(|(_, other)| other == id).map_or(0, |(wish, _)| *wish), *id));
                let mut next = 0;
                for id in here {
                    let wished = wishes.iter().find(|(_, other)| *other == id).map_or(0, |(wish, _)| *wish);
                    let row = if (0..i64::MAX / 4).contains(&wished) {
                        usize::try_from(wished / 1000).unwrap_or(next)
                    } else {
                        next
                    };
                    places[id].row = row.max(next);
                    next = places[id].row + 1;
                }
            }
        }
    }
    compact(places, lane_order);
}

/// Removes rows that nothing stands in.
fn compact(places: &mut [Place], lane_order: &[usize]) {
    for lane in lane_order {
        let used: BTreeSet<usize> = places.iter().filter(|place| place.lane == *lane).map(|place| place.row).collect();
        let used: Vec<usize> = used.into_iter().collect();
        for place in places.iter_mut().filter(|place| place.lane == *lane) {
            place.row = used.iter().position(|row| *row == place.row).unwrap_or_default();
        }
    }
}

fn thousand(row: usize) -> i64 {
    i64::try_from(row).unwrap_or(i64::MAX / 2000).saturating_mul(1000)
}
