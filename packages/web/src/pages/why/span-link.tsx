import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Schemas } from "../../api/client.ts";

interface SpanLinkProps {
  readonly span: Pick<Schemas["WhyPart"]["spans"][number], "sessionId" | "traceId" | "spanId">;
  readonly children: ReactNode;
}

/** A span, as the way to it in its trace. */
export function SpanLink({ span: { sessionId, traceId, spanId }, children }: SpanLinkProps) {
  return (
    <Link
      to="/sessions/$sessionId/traces/$traceId"
      params={{ sessionId, traceId }}
      search={{ span: spanId }}
      className="lnk"
    >
      {children}
    </Link>
  );
}
