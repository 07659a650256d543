/** Figures. Each is one unbroken word; what is not known is a dash that says so. */
import { formatDuration, UNKNOWN } from "../format/duration.ts";
import { formatCount, formatMoney, formatTokens } from "../format/figures.ts";

type Known = number | null | undefined;

function Figure({ text, title }: { readonly text: string; readonly title?: string | undefined }) {
  if (text !== UNKNOWN) {
    return (
      <span className="whitespace-nowrap" title={title}>
        {text}
      </span>
    );
  }
  return (
    <span title="not known">
      <span aria-hidden="true">{UNKNOWN}</span>
      <span className="sr">not known</span>
    </span>
  );
}

/** @param ms in milliseconds; tenths are kept up to a minute where parts should add up */
export function Duration({ ms, hasTenths = false }: { readonly ms: Known; readonly hasTenths?: boolean }) {
  return <Figure text={formatDuration(ms, hasTenths)} title={typeof ms === "number" ? `${ms} ms` : undefined} />;
}

/** @param usd in US dollars; `isPartial` if some cost is missing from it */
export function Money({ usd, isPartial = false }: { readonly usd: Known; readonly isPartial?: boolean }) {
  return <Figure text={formatMoney(usd, isPartial)} title={typeof usd === "number" ? `$${usd}` : undefined} />;
}

export function Count({ count }: { readonly count: Known }) {
  return <Figure text={formatCount(count)} />;
}

export function Tokens({ count }: { readonly count: Known }) {
  return <Figure text={formatTokens(count)} title={typeof count === "number" ? formatCount(count) : undefined} />;
}

/** Lines or files that were added and removed: `+42 −11`. */
export function Change({ added, removed }: { readonly added: Known; readonly removed: Known }) {
  return (
    <span className="whitespace-nowrap">
      <span className="text-added">+{formatCount(added)}</span>{" "}
      <span className="text-removed">−{formatCount(removed)}</span>
    </span>
  );
}
