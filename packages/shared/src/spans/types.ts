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
 * The catalogue as a type, for `new Tracer<ValetSpans>(…)`. A name, kind, attribute, value or link that the catalogue does
 * not define for a span does not compile. Every attribute is optional here, since a span receives attributes over time.
 */
export type ValetSpans = { readonly [N in keyof Definitions as NameOf<N>]: ShapeOf<Definitions[N]> };

/** The names of spans: exact names, or patterns such as `` `chat ${string}` ``. */
export type SpanName = keyof ValetSpans;

/** A step of the sandbox broker's work on a request. */
export type BrokerStep = keyof typeof BROKER_SPANS;

/** The attributes that a span of this name may have. */
export type SpanAttributes<N extends SpanName> = ValetSpans[N]["attributes"];

/** The reasons for which a span of this name may end with an outcome other than `ok`. */
export type EndReason<N extends SpanName> = NonNullable<
  ValetSpans[N]["attributes"] extends infer A ? A[keyof A & ("error.type" | "valet.outcome.reason")] : never
>;
/** The type of each attribute's values, on any span. */
export type ValetAttributes = Values<typeof ATTRIBUTES>;

/** The attributes of Valet's resources. `service.name` is required. */
export type ValetResource = Loose<Values<typeof RESOURCE_ATTRIBUTES>> & { readonly "service.name": string };

/** The TypeScript types of the catalogue's types. */
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

/** Allows `undefined`, which means "not set" to the tracer. */
type Loose<A> = { readonly [K in keyof A]?: A[K] | undefined };

/** Turns `chat {model}` into `` `chat ${string}` ``, and `{method}` into the methods of HTTP. */
type NameOf<N extends string> = N extends `${infer Before}{${infer Blank}}${infer After}`
  ? `${Before}${Blank extends "method" ? NameMethod : string}${NameOf<After>}`
  : N;

/** The methods in span names. An unknown method is `HTTP` there (semantic conventions, "HTTP spans: Name"). */
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
