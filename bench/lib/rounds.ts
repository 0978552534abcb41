/**
 * Calls `measure` for each of the things once a round. They take turns in one order and then in the
 * other, so that what the machine does besides meets all of them, and none always has the other's
 * traces before it.
 */
export async function inRounds<Thing>(
  things: readonly Thing[],
  rounds: number,
  measure: (thing: Thing) => Promise<void>,
): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (const thing of round % 2 === 0 ? things : things.toReversed()) await measure(thing);
  }
}
