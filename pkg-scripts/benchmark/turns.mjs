// The number and order of measurements.

/** Turns of a row: as many as fit into `seconds`, between `min` and `max`. */
export const TURNS = { min: 5, max: 15, seconds: 8, long: 3 };
export const QUICK_TURNS = { min: 2, max: 15, seconds: 1, long: 1 };
/** Minimum warm-up in seconds before the first turn, for caches and compilers. */
const WARM_UP = 0.2;

/** Runs a runner until it is warm. */
export async function warmUp(runner) {
  const started = performance.now();
  do {
    await runner.sample();
  } while (performance.now() - started < WARM_UP * 1e3);
}

/** Measures the parties in turn until each has enough samples in its list `samples`. */
export async function takeTurns(parties, turns, long) {
  const started = performance.now();
  for (const party of parties) party.samples = [];
  for (let turn = 0; ; turn += 1) {
    const spent = (performance.now() - started) / 1e3;
    const enough = long ? turn >= turns.long : turn >= turns.min && spent > turns.seconds;
    if (enough || turn >= turns.max) return;
    // The order alternates, so that no party always follows the same one.
    for (const party of turn % 2 === 0 ? parties : parties.toReversed()) {
      party.samples.push(await party.runner.sample());
    }
  }
}
