/** The limits of one span (OpenTelemetry SDK specification, "Span Limits"). */
export interface SpanLimits {
  readonly attributes: number;
  readonly events: number;
  readonly links: number;
  readonly attributesPerEvent: number;
  readonly attributesPerLink: number;
  /** The length of a string value, in UTF-16 code units. */
  readonly attributeValueLength: number;
}

export const DEFAULT_LIMITS: SpanLimits = {
  attributes: 128,
  events: 128,
  links: 128,
  attributesPerEvent: 128,
  attributesPerLink: 128,
  attributeValueLength: Number.POSITIVE_INFINITY,
};
