// What every worker of the benchmark's page does alike: takes a request at a time and answers it.

/** Answers requests `{op, ...}` with the operation of that name. */
export function answer(operations) {
  self.onmessage = async ({ data: { op, ...request } }) => {
    try {
      self.postMessage({ answer: await operations[op](request) });
    } catch (error) {
      self.postMessage({ error: error instanceof Error ? error.message : String(error) });
    }
  };
}

/** `count` rows of random tokens, as 64-bit integers. */
export function randomTokens(rows, columns) {
  return BigInt64Array.from({ length: rows * columns }, () =>
    BigInt(2 + Math.floor(Math.random() * 32126)),
  );
}
