//! A cache that evicts what was used least recently, to compare with.

use crate::trace::Trace;

const NONE: u32 = u32::MAX;

/// A ring of the keys in the cache, the latest first, through a node that is no key.
struct Ring {
    later: Vec<u32>,
    earlier: Vec<u32>,
}

impl Ring {
    fn new(keys: usize) -> Ring {
        let mut ring = Ring { later: vec![NONE; keys + 1], earlier: vec![NONE; keys + 1] };
        (ring.later[keys], ring.earlier[keys]) = (keys as u32, keys as u32);
        ring
    }

    fn end(&self) -> u32 {
        self.later.len() as u32 - 1
    }

    fn contains(&self, key: u32) -> bool {
        self.later[key as usize] != NONE
    }

    fn add(&mut self, key: u32) {
        let end = self.end();
        let second = self.earlier[end as usize];
        (self.later[key as usize], self.earlier[key as usize]) = (end, second);
        self.earlier[end as usize] = key;
        self.later[second as usize] = key;
    }

    fn remove(&mut self, key: u32) {
        let (later, earlier) = (self.later[key as usize], self.earlier[key as usize]);
        self.earlier[later as usize] = earlier;
        self.later[earlier as usize] = later;
        self.later[key as usize] = NONE;
    }

    fn last(&self) -> Option<u32> {
        let last = self.later[self.end() as usize];
        (last != self.end()).then_some(last)
    }
}

/// How many of the requests are hits. What is larger than the cache is not kept.
pub fn hits(trace: &Trace, capacity: u64) -> u64 {
    let mut ring = Ring::new(trace.keys);
    let mut sizes = vec![0; trace.keys];
    let mut used = 0;
    let mut hits = 0;
    for request in &trace.requests {
        let key = request.key;
        let size = &mut sizes[key as usize];
        if ring.contains(key) {
            hits += 1;
            ring.remove(key);
            used -= *size;
        }
        if request.size > capacity {
            continue;
        }
        *size = request.size;
        while used > capacity - request.size {
            let Some(last) = ring.last() else { break };
            ring.remove(last);
            used -= sizes[last as usize];
        }
        ring.add(key);
        used += request.size;
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Request;

    #[test]
    fn the_one_that_was_not_used_goes() {
        let trace = Trace::of_keys("test", [1, 2, 1, 3, 1, 2, 3]);
        //                    of two:      -  -  1  -  1  -  -
        assert_eq!(hits(&trace, 2), 2);
        assert_eq!(hits(&trace, 3), 4);
        assert_eq!(hits(&trace, 1), 0);
    }

    #[test]
    fn loops_hit_all_or_nothing() {
        let trace = Trace::of_keys("test", (0..1000).map(|i| i % 10));
        assert_eq!(hits(&trace, 9), 0);
        assert_eq!(hits(&trace, 10), 990);
    }

    #[test]
    fn sizes_count_and_what_is_too_large_is_not_kept() {
        let request = |key, size| Request { key, size };
        let requests = [(0, 5), (1, 5), (2, 11), (0, 5), (1, 5), (2, 11), (3, 6), (1, 5)];
        let trace = Trace {
            name: "test".into(),
            requests: requests.map(|(key, size)| request(key, size)).into(),
            keys: 4,
            has_sizes: true,
            total: 27,
        };
        assert_eq!(hits(&trace, 10), 2);
        assert_eq!(hits(&trace, 11), 0);
    }
}
