import { LIMIT_NAMES, type LimitMeans, type LimitName, type ShownLimits } from "@valet/shared/protocol/sandbox-limits";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Returns a size in the largest unit of which it is one or more, with at most one decimal place. */
export function sizeText(bytes: number): string {
  const place = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
  return `${Math.round((10 * bytes) / 1024 ** place) / 10} ${UNITS[place]}`;
}

const WHAT: Record<LimitName, (value: number) => string> = {
  memory: (value) => `${sizeText(value)} memory`,
  cpu: (value) => `${value} processors`,
  processes: (value) => `${value} processes`,
  disk: (value) => `${sizeText(value)} disk`,
  open_files: (value) => `${value} open files`,
};
const BY: Record<LimitMeans, string> = {
  cgroup2: "control group v2",
  cgroup1: "control group v1",
  rlimit: "each process alone",
  watch: "measured while turns run",
  none: "NOT APPLIED",
};

/** Returns the limits of each sandbox, and by what they hold, as a phrase. */
export function limitsText(limits: ShownLimits | undefined): string {
  if (limits === undefined) return "none";
  const parts = LIMIT_NAMES.map((name) => ({ name, ...limits[name] }));
  const means = [...new Set(parts.map(({ by }) => by))];
  return means
    .map((by) => {
      const those = parts.filter((each) => each.by === by).map(({ name, value }) => WHAT[name](value));
      return `${those.join(", ")} (${BY[by]})`;
    })
    .join("; ");
}
