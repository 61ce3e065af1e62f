/**
 * A request's history as turns of speech, for APIs that know messages and not items.
 *
 * - The instructions and the developer's messages before anything else are one system message: many servers want it
 *   first and alone.
 * - What the model said in one go (reasoning, text, calls) is one assistant message; it ends at the next item that is
 *   not the model's, and before a text that follows a call.
 * - Nothing is sent that such servers refuse, since a history would be refused for ever: calls have an object of arguments
 *   and a name that APIs take, and what says nothing is left out.
 * - The outputs of calls made in one go stay together. Images in them follow as a user's message, since few servers
 *   take them in an output.
 */
import type { ToolSpec } from "../protocol/function-tool.ts";
import type { ContentItem, ReasoningItem, ResponseItem } from "../protocol/response-item.ts";
import { textOf, textOfContent } from "../protocol/response-item.ts";
import type { ModelRequest, ToolNamespace } from "./model-client.ts";

export type SpokenPart = { readonly text: string } | { readonly imageUrl: string };
type SpokenReasoning = { readonly text: string; readonly item: ReasoningItem };
/** `item` is where it came from: some APIs keep facts of their own there. */
type SpokenCall = {
  readonly callId: string;
  readonly name: string;
  readonly args: string;
  readonly item: ResponseItem;
};

export type AssistantSpeech = {
  readonly role: "assistant";
  readonly reasoning: SpokenReasoning[];
  readonly texts: { readonly text: string; readonly item: ResponseItem }[];
  readonly calls: SpokenCall[];
};

export type Speech =
  | { readonly role: "system"; readonly text: string }
  | {
      readonly role: "user";
      readonly parts: readonly SpokenPart[];
      /** Set where no user speaks: these are the images of tool outputs. */
      readonly ofTools?: true;
    }
  | AssistantSpeech
  | { readonly role: "tool"; readonly callId: string; readonly name: string; readonly output: string };

/** Turns of speech, oldest first. Items that such APIs cannot carry are left out. */
export function conversationOf({ instructions, input }: ModelRequest): Speech[] {
  const conversation = new Conversation(instructions);
  for (const item of input) conversation.add(item);
  return conversation.finish();
}

class Conversation {
  readonly #speeches: Speech[] = [];
  readonly #systemTexts: string[] = [];
  readonly #names = new Map<string, string>();
  #assistant: AssistantSpeech | undefined;
  #images: SpokenPart[] = [];

  constructor(instructions: string) {
    if (instructions !== "") this.#systemTexts.push(instructions);
  }

  add(item: ResponseItem): void {
    switch (item.type) {
      case "message":
        if (item.role === "assistant") this.#say(item, textOf(item));
        else if (item.role === "user") this.#ask(item.content.flatMap(partOf));
        else this.#instruct(textOf(item));
        return;
      case "reasoning":
        this.#model().reasoning.push({ text: reasoningTextOf(item), item });
        return;
      case "function_call":
        this.#call({
          callId: item.call_id,
          name: callable(flatName(item.namespace, item.name)),
          args: objectOf(item.arguments),
          item,
        });
        return;
      case "custom_tool_call":
        this.#call({
          callId: item.call_id,
          name: callable(item.name),
          args: JSON.stringify({ input: item.input }),
          item,
        });
        return;
      case "local_shell_call":
        if (item.call_id == null) return;
        this.#call({ callId: item.call_id, name: "local_shell", args: JSON.stringify(item.action), item });
        return;
      case "function_call_output":
      case "custom_tool_call_output":
        if (item.call_id !== undefined) this.#output(item.call_id, item.output);
        else this.#ask(partsOf(item.output));
        return;
      default:
    }
  }

  finish(): Speech[] {
    this.#endModel();
    this.#showImages();
    if (this.#systemTexts.length > 0) {
      this.#speeches.unshift({ role: "system", text: this.#systemTexts.join("\n\n") });
    }
    return this.#speeches;
  }

  #instruct(text: string): void {
    if (this.#speeches.length === 0 && this.#assistant === undefined) this.#systemTexts.push(text);
    else this.#hear({ role: "system", text });
  }

  #hear(speech: Speech): void {
    this.#endModel();
    this.#showImages();
    this.#speeches.push(speech);
  }

  #ask(parts: readonly SpokenPart[]): void {
    if (parts.length > 0) this.#hear({ role: "user", parts });
  }

  #say(item: ResponseItem, text: string): void {
    if (text === "") return;
    if ((this.#assistant?.calls.length ?? 0) > 0) this.#endModel();
    this.#model().texts.push({ text, item });
  }

  #call(call: SpokenCall): void {
    this.#names.set(call.callId, call.name);
    this.#model().calls.push(call);
  }

  #output(callId: string, output: string | readonly ContentItem[]): void {
    this.#endModel();
    const parts = partsOf(output);
    const text = parts.flatMap((part) => ("text" in part ? [part.text] : [])).join("");
    this.#images.push(...parts.filter((part) => "imageUrl" in part));
    this.#speeches.push({ role: "tool", callId, name: this.#names.get(callId) ?? "", output: text });
  }

  #model(): AssistantSpeech {
    this.#showImages();
    this.#assistant ??= { role: "assistant", reasoning: [], texts: [], calls: [] };
    return this.#assistant;
  }

  #endModel(): void {
    const speech = this.#assistant;
    this.#assistant = undefined;
    if (speech !== undefined && speech.texts.length + speech.calls.length > 0) this.#speeches.push(speech);
  }

  #showImages(): void {
    if (this.#images.length === 0) return;
    this.#speeches.push({ role: "user", parts: this.#images, ofTools: true });
    this.#images = [];
  }
}

const partsOf = (output: string | readonly ContentItem[]): SpokenPart[] =>
  typeof output === "string" ? [{ text: output }] : output.flatMap(partOf);

function partOf(part: ContentItem): SpokenPart[] {
  if (part.type === "input_image" && part.image_url !== undefined) return [{ imageUrl: part.image_url }];
  const text = textOfContent(part);
  return text === "" ? [] : [{ text }];
}

/** What a model wrote as arguments, when it is a JSON object; anything else in a member of one. */
function objectOf(args: string): string {
  try {
    const value: unknown = JSON.parse(args);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return args;
  } catch {
    // The model reads in the call's output what was wrong with it.
  }
  return args.trim() === "" ? "{}" : JSON.stringify({ arguments: args });
}

/** A name that a model made up may be none that servers take back. */
const callable = (name: string): string => name.replace(/[^A-Za-z0-9_-]/g, "_").slice(0, MAX_NAME) || "unnamed";
/** OpenAI's bound for the name of a function. */
const MAX_NAME = 64;

/** The reasoning itself where the model shows it, else its summary. */
const reasoningTextOf = (item: ReasoningItem): string =>
  item.content?.map((part) => part.text).join("") || item.summary.map((part) => part.text).join("\n\n");

/** Namespaces of tools for those who know none: a tool in one is shown, and called, as `NAMESPACE__NAME`. */

export const flatName = (namespace: string | undefined, name: string): string =>
  namespace === undefined ? name : `${namespace}__${name}`;

export const flatTools = (tools: readonly (ToolSpec | ToolNamespace)[]): ToolSpec[] =>
  tools.flatMap((tool) =>
    tool.type === "function"
      ? [tool]
      : tool.tools.map((inner) => ({ ...inner, name: flatName(tool.name, inner.name) })),
  );
