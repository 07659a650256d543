/** Markdown that an agent wrote, block by block. It is text until the renderer has come, which is a quarter of the page's scripts. */

import { visibleText } from "@valet/shared/visible-text";
import { Component, lazy, memo, type ReactNode, Suspense } from "react";
import { markdownBlocks } from "./markdown-blocks.ts";
import { MAX_BLOCK_COST, MAX_TEXT_COST, markdownCost } from "./markdown-cost.ts";

const RenderedMarkdown = lazy(() => import("./rendered-markdown.tsx"));

/** A longer block is shown as text: to lay it out would hold up the page. In UTF-16 code units. */
const MAX_BLOCK = 20_000;

export function Markdown({ text }: { readonly text: string }) {
  let at = 0;
  let cost = 0;
  return (
    <bdi className="said-text">
      {markdownBlocks(text).map((block) => {
        // Blocks are only added at the end, and the last one grows: where one begins does not change.
        const key = at;
        at += block.length + 1;
        const own = block.length > MAX_BLOCK ? Number.POSITIVE_INFINITY : markdownCost(block);
        const isRendered = own <= MAX_BLOCK_COST && cost + own <= MAX_TEXT_COST;
        if (isRendered) cost += own;
        return <Block key={key} text={block} isRendered={isRendered} />;
      })}
    </bdi>
  );
}

interface BlockProps {
  readonly text: string;
  /** Else it is shown as it was written. */
  readonly isRendered: boolean;
}

const Block = memo(function Block({ text: written, isRendered }: BlockProps) {
  const text = visibleText(written);
  const plain = <p className="whitespace-pre-wrap">{text}</p>;
  if (!isRendered) return plain;
  return (
    <OrPlain plain={plain}>
      <Suspense fallback={plain}>
        <RenderedMarkdown text={text} />
      </Suspense>
    </OrPlain>
  );
});

/** Shows the text as it is when it cannot be rendered: it is nested too deeply, or the renderer could not be loaded. */
class OrPlain extends Component<{ readonly plain: ReactNode; readonly children: ReactNode }, { hasFailed: boolean }> {
  override state = { hasFailed: false };

  static getDerivedStateFromError(): { hasFailed: boolean } {
    return { hasFailed: true };
  }

  override render(): ReactNode {
    return this.state.hasFailed ? this.props.plain : this.props.children;
  }
}
