/** The address of a trace in the backend that also has it: Grafana, Jaeger. Pure. */

interface BackendUrl {
  readonly href: string;
  /** What to call it: by its host if it is not a known product's. */
  readonly name: string;
}

/** Returns the address. @param template with `{traceId}`; `undefined` if none is configured, or it is no web address */
export function backendUrl(template: string | undefined, traceId: string): BackendUrl | undefined {
  if (template === undefined) return undefined;
  const url = URL.parse(template.replaceAll("{traceId}", encodeURIComponent(traceId)));
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) return undefined;
  const known = ["Grafana", "Jaeger", "Tempo", "Honeycomb", "Datadog"].find((name) =>
    `${url.host}${url.pathname}`.toLowerCase().includes(name.toLowerCase()),
  );
  return { href: url.href, name: known ?? url.host };
}
