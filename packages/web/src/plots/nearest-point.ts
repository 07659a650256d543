/** The point under a pointer. Pure. */

export interface Point {
  readonly left: number;
  readonly top: number;
}

/** Returns the index of the point that is nearest to a place, and at most `reach` away; -1 without one. */
export function nearestPoint(points: readonly (Point | undefined)[], { left, top }: Point, reach: number): number {
  let found = -1;
  let least = reach;
  points.forEach((point, index) => {
    if (point === undefined) return;
    const distance = Math.hypot(point.left - left, point.top - top);
    if (distance > least) return;
    found = index;
    least = distance;
  });
  return found;
}
