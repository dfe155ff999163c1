// How often everything is measured, and in which order.

/** Turns of a row: as many as fit into the seconds, between least and most. */
export const TURNS = { least: 5, most: 15, seconds: 8, long: 3 };
export const QUICK_TURNS = { least: 2, most: 15, seconds: 1, long: 1 };
/** Seconds that a party works before its first turn, at least: caches warm, hot code is compiled. */
const WARM_UP = 0.2;

/** Lets a party work until it is warm. */
export async function warmUp(runner) {
  const started = performance.now();
  do {
    await runner.sample();
  } while (performance.now() - started < WARM_UP * 1e3);
}

/** Takes turns between parties until there are enough samples; each has a list `samples`. */
export async function takeTurns(parties, turns, long) {
  const started = performance.now();
  for (const party of parties) party.samples = [];
  for (let turn = 0; ; turn += 1) {
    const spent = (performance.now() - started) / 1e3;
    const enough = long ? turn >= turns.long : turn >= turns.least && spent > turns.seconds;
    if (enough || turn >= turns.most) return;
    // Every other turn goes backwards, so that nobody always follows the same one.
    for (const party of turn % 2 === 0 ? parties : parties.toReversed()) {
      party.samples.push(await party.runner.sample());
    }
  }
}
