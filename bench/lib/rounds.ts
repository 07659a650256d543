import type { Samples } from "./table.ts";

/**
 * Takes one sample of every contender in each round. The order rotates from round to round, so that no contender always
 * comes first or after the same neighbour. A garbage collection precedes each sample, so that each contender pays only
 * for its own garbage.
 * @param warmUp rounds whose samples are discarded, until the engine has compiled the measured code
 */
export async function alternate<C extends { readonly name: string }>(
  contenders: readonly C[],
  { rounds, warmUp }: { readonly rounds: number; readonly warmUp: number },
  sample: (contender: C) => number | Promise<number>,
): Promise<Samples> {
  const samples = Object.fromEntries(contenders.map(({ name }) => [name, [] as number[]]));
  for (let round = -warmUp; round < rounds; round++) {
    const first = (round + warmUp) % contenders.length;
    for (const contender of [...contenders.slice(first), ...contenders.slice(0, first)]) {
      const value = await sample(contender);
      if (round >= 0) samples[contender.name]?.push(value);
    }
  }
  return samples;
}
