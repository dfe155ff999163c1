// How often everything is measured, and in which order.

/** Turns of a row: as many as fit into the seconds, between least and most. */
export const TURNS = { least: 5, most: 15, seconds: 8, long: 3 };
export const QUICK_TURNS = { least: 2, most: 3, seconds: 1, long: 1 };

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
