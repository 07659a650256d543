/** What a message cost: by model and agent, what of it was avoidable, and what other sessions cost for it. */
import { Link } from "@tanstack/react-router";
import type { CSSProperties } from "react";
import type { Schemas } from "../../api/client.ts";
import { Count, Money, Tokens } from "../../ui/figure.tsx";
import { OutsideText, Sentence } from "../../ui/outside-text.tsx";

type MoneyView = Schemas["Money"];

export function MoneyNote({ money }: { readonly money: MoneyView }) {
  const { cost_usd, known, by, avoidable, children, sentence } = money;
  return (
    <section aria-label="Money">
      <h2 className="flex justify-between">
        Money <Money usd={cost_usd} isPartial={!known} />
      </h2>
      <p className="small m2">
        <Sentence text={sentence} max={600} />
      </p>
      <ul className="why-cash">
        {by.map((each) => (
          <ModelCost
            key={JSON.stringify([each.provider, each.model, each.agent, each.sub_agent])}
            of={each}
            all={money}
          />
        ))}
        {avoidable.map((each) => (
          <li key={`${each.reason}/${each.sentence}`}>
            <span className="t-retry">Avoidable</span>
            <span className="n">
              <Money usd={each.cost_usd} isPartial={!each.known} />
            </span>
            <span className="small">
              <Sentence text={each.sentence} max={600} />
            </span>
          </li>
        ))}
        {children.map((child) => (
          <li key={child.sessionId}>
            <span className="cut">
              Session{" "}
              <Link to="/sessions/$sessionId" params={{ sessionId: child.sessionId }} className="lnk">
                <OutsideText text={child.sessionId} className="mono" />
              </Link>
            </span>
            <span className="n">
              <Money usd={child.cost_usd} isPartial={!child.known} />
            </span>
            <span className="small m">for its work for this message, beside the sum</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function ModelCost({ of, all }: { readonly of: Schemas["ModelMoney"]; readonly all: MoneyView }) {
  const { model, agent, sub_agent, cost_usd, known, calls } = of;
  const share = cost_usd !== null && all.cost_usd !== null && all.cost_usd > 0 ? (cost_usd / all.cost_usd) * 100 : null;
  return (
    <li>
      <span className="cut">
        {model === null ? "unknown model" : <OutsideText text={model} className="mono" max={100} />}
      </span>
      <span className="n">
        <Money usd={cost_usd} isPartial={!known} />
      </span>
      {share !== null && (
        <span className="cashbar" style={{ "--w": `${share}%` } as CSSProperties}>
          <i className="bar k-model" />
        </span>
      )}
      <span className="small">
        {agent !== null && (
          <>
            {sub_agent ? "sub-agent" : "agent"} <OutsideText text={agent} max={60} /> ·{" "}
          </>
        )}
        <Count count={calls} /> {calls === 1 ? "call" : "calls"} ·{" "}
        {of.tokens_input === null && of.tokens_output === null ? (
          "tokens unknown"
        ) : (
          <>
            <Tokens count={of.tokens_input} /> in
            {of.tokens_cache_read !== null && (
              <>
                , of which <Tokens count={of.tokens_cache_read} /> cached
              </>
            )}{" "}
            · <Tokens count={of.tokens_output} /> out
          </>
        )}
      </span>
    </li>
  );
}
