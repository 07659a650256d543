/** Runs `work` for 0 to `count`, at most `width` at a time. */
export async function inParallel(count: number, width: number, work: (number: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, lane));
}
