//! Python's `random`, by whose seeds published experiments draw: the Mersenne Twister of CPython, seeded
//! with one number, and what `shuffle` and `sample` make of it.

/// Length of the generator's state, and the distance of the words that are combined.
const LENGTH: usize = 624;
const DISTANCE: usize = 397;

/// `random.Random(seed)`.
pub struct PythonRandom {
    state: [u32; LENGTH],
    next: usize,
}

impl PythonRandom {
    /// The generator after `random.seed(seed)`: `init_by_array` with that one number.
    pub fn new(seed: u32) -> Self {
        let mut state = [0; LENGTH];
        state[0] = 19_650_218;
        for i in 1..LENGTH {
            state[i] = mixed(&state, i).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        let mut i = 1;
        for _ in 0..LENGTH {
            state[i] = (state[i] ^ mixed(&state, i).wrapping_mul(1_664_525)).wrapping_add(seed);
            i = advance(&mut state, i);
        }
        for _ in 1..LENGTH {
            state[i] =
                (state[i] ^ mixed(&state, i).wrapping_mul(1_566_083_941)).wrapping_sub(i as u32);
            i = advance(&mut state, i);
        }
        state[0] = 1 << 31;
        Self { state, next: LENGTH }
    }

    fn word(&mut self) -> u32 {
        if self.next == LENGTH {
            for i in 0..LENGTH {
                let (low, high) = (self.state[(i + 1) % LENGTH], self.state[i]);
                let both = (high & 0x8000_0000) | (low & 0x7fff_ffff);
                let odd = if both & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + DISTANCE) % LENGTH] ^ (both >> 1) ^ odd;
            }
            self.next = 0;
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// `randrange(limit)`; `limit` is at least 1.
    fn below(&mut self, limit: usize) -> usize {
        let bits = usize::BITS - limit.leading_zeros();
        loop {
            let drawn = (self.word() >> (32 - bits)) as usize;
            if drawn < limit {
                return drawn;
            }
        }
    }

    /// `shuffle(items)`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// `sample(range(count), size)`, of all of them where there are no more.
    pub fn sample(&mut self, count: usize, size: usize) -> Vec<usize> {
        let size = size.min(count);
        // CPython draws from a list where that is smaller than a set of what was drawn.
        let power = |exponent: u32| 4usize.pow(exponent);
        let set = match (0..).find(|&exponent| power(exponent) >= 3 * size) {
            Some(exponent) if size > 5 => 21 + power(exponent),
            _ => 21,
        };
        if count <= set {
            let mut pool: Vec<usize> = (0..count).collect();
            return (0..size)
                .map(|_| {
                    let place = self.below(pool.len());
                    pool.swap_remove(place)
                })
                .collect();
        }
        let mut drawn = Vec::new();
        while drawn.len() < size {
            let number = self.below(count);
            if !drawn.contains(&number) {
                drawn.push(number);
            }
        }
        drawn
    }
}

/// The word before word `i`, mixed.
fn mixed(state: &[u32; LENGTH], i: usize) -> u32 {
    state[i - 1] ^ (state[i - 1] >> 30)
}

/// The place after `i`; past the last one the state wraps around.
fn advance(state: &mut [u32; LENGTH], i: usize) -> usize {
    if i + 1 < LENGTH {
        return i + 1;
    }
    state[0] = state[LENGTH - 1];
    1
}
