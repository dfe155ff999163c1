// The others that the benchmark takes turns with.

/** Names of all contenders, as the JSON has them. */
export const CONTENDERS = [];

export async function openContender() {
  return [];
}
