/**
 * The numbers of W3C Trace Context and OTLP that the tracer itself needs. The exported tables are built from them, and a bundle
 * that does not import those tables does not contain them.
 */

/** `trace-flags`, Trace Context Level 2, section 3.2.2.5: the caller may have recorded this trace. */
export const SAMPLED = 0x01;
/** The trace id's right 7 bytes are random. */
export const RANDOM = 0x02;
/** All flags that Level 2 defines. */
export const KNOWN_FLAGS = 0x03;

/** `SpanFlags` of trace.proto, above W3C's: it is known whether the context is remote. */
export const HAS_IS_REMOTE = 0x100;
/** `SpanFlags` of trace.proto: the context is remote. */
export const IS_REMOTE = 0x200;

/** `SpanKind` of trace.proto: the first and the last after `SPAN_KIND_UNSPECIFIED`. */
export const INTERNAL = 1;
export const CONSUMER = 5;

/** `Status.StatusCode` of trace.proto. */
export const UNSET = 0;
export const OK = 1;
export const ERROR = 2;
