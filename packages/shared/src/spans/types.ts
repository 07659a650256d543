import type { ATTRIBUTES, AttributeDefinition, AttributeKey, RESOURCE_ATTRIBUTES } from "./attributes.ts";
import type { BROKER_SPANS } from "./broker-spans.ts";
import type { COMMON_ATTRIBUTES, SpanDefinition } from "./definition.ts";
import type { EndedBy, FailureType, OutcomeReason } from "./error-types.ts";
import type { SANDBOX_SPANS } from "./sandbox-spans.ts";
import type { SESSION_SPANS } from "./session-spans.ts";
import type { TURN_SPANS } from "./turn-spans.ts";
import type { HttpMethod, KINDS } from "./values.ts";

type Definitions = typeof SESSION_SPANS & typeof TURN_SPANS & typeof SANDBOX_SPANS & typeof BROKER_SPANS;

/**
 * The catalogue as a type, for `new Tracer<ValetSpans>(…)`: with it, a name, kind, attribute, value or link that the catalogue
 * does not hold for a span does not compile. Every attribute is optional here, since a span gathers them while it lives.
 */
export type ValetSpans = { readonly [N in keyof Definitions as NameOf<N>]: ShapeOf<Definitions[N]> };

/** The names that spans have: exact, or patterns such as `` `chat ${string}` ``. */
export type SpanName = keyof ValetSpans;

/** What the sandbox broker spends a request's time on. */
export type BrokerStep = keyof typeof BROKER_SPANS;

/** What a span of this name may carry. */
export type SpanAttributes<N extends SpanName> = ValetSpans[N]["attributes"];

/** Why a span of this name may end otherwise than `ok`. */
export type EndReason<N extends SpanName> = NonNullable<
  ValetSpans[N]["attributes"] extends infer A ? A[keyof A & ("error.type" | "valet.outcome.reason")] : never
>;
/** What each attribute may hold, wherever it is. */
export type ValetAttributes = Values<typeof ATTRIBUTES>;

/** What a resource of ours holds; `service.name` always. */
export type ValetResource = Loose<Values<typeof RESOURCE_ATTRIBUTES>> & { readonly "service.name": string };

/** TypeScript's types for the catalogue's. */
interface Types {
  readonly string: string;
  readonly int: number;
  readonly double: number;
  readonly boolean: boolean;
  readonly "string[]": readonly string[];
}

type Values<A extends Record<string, AttributeDefinition>> = {
  readonly [K in keyof A]: A[K] extends { readonly values: readonly (infer V)[] } ? V : Types[A[K]["type"]];
};

/** With `undefined` allowed: to the tracer it means "not set". */
type Loose<A> = { readonly [K in keyof A]?: A[K] | undefined };

/** `chat {model}` as `` `chat ${string}` ``; a method is one of those that HTTP has. */
type NameOf<N extends string> = N extends `${infer Before}{${infer Blank}}${infer After}`
  ? `${Before}${Blank extends "method" ? NameMethod : string}${NameOf<After>}`
  : N;

/** Methods as span names have them: an unknown one is `HTTP` there (semantic conventions, "HTTP spans: Name"). */
type NameMethod = Exclude<HttpMethod, "_OTHER"> | "HTTP";

interface ShapeOf<D extends SpanDefinition> {
  readonly kind: (typeof KINDS)[D["kind"]];
  readonly attributes: { readonly [K in KeysOf<D>]?: ValueOf<D, K> | undefined };
  readonly links: { readonly "valet.link.type": D["links"][number] };
}

type KeysOf<D extends SpanDefinition> =
  | (typeof COMMON_ATTRIBUTES)[number]
  | D["required"][number]
  | D["optional"][number]
  | Extract<keyof FixedOf<D>, AttributeKey>
  | (D extends { readonly errors: readonly unknown[] }
      ? "valet.outcome" | "valet.outcome.reason" | "error.type"
      : never)
  | (D extends { readonly errors: "status code" } ? "valet.outcome" | "valet.outcome.reason" | "error.type" : never);

type FixedOf<D extends SpanDefinition> = D extends { readonly fixed: infer F } ? F : unknown;

type ValueOf<D extends SpanDefinition, K extends AttributeKey> = K extends keyof FixedOf<D>
  ? FixedOf<D>[K]
  : K extends "error.type"
    ? ErrorOf<D>
    : K extends "valet.outcome.reason"
      ? ReasonOf<D>
      : [K, D] extends ["valet.outcome", { readonly errors: "status code" }]
        ? "aborted"
        : ValetAttributes[K];

type ErrorOf<D extends SpanDefinition> = D extends { readonly errors: readonly (infer E)[] }
  ? Extract<E, FailureType> | "_OTHER"
  : `${number}`;

type ReasonOf<D extends SpanDefinition> = D extends { readonly errors: readonly (infer E)[] }
  ? Extract<E, OutcomeReason>
  : EndedBy<"http_request">;
