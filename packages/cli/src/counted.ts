/** Returns a number with its noun, in the singular or the plural. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
