/** Methods of Codex's that Skein knows by name and does not serve, and why. A client hears of it by name, not as of a word that nobody knows. */
import * as z from "zod";
import { type Method, type MethodTable, method } from "../method.ts";
import { invalidRequest } from "../rpc-error.ts";

const SIGN_IN = "sign-in is by API key, and there are no accounts beside it";
const PLUGINS = "there are no plugins, apps or marketplaces";
const SPEECH = "no model is talked to by voice";
const REMOTE = "no server is controlled by way of another one";
const PROJECTS = "threads are in no projects";
const GUARDIAN = "no model decides on approvals";
const ENVIRONMENTS = "commands run on the server's machine alone";
const SAMPLES = "a thread asks its model by turns alone";
const MEMORY = "nothing is remembered beyond threads";
const READ_STATES = "nobody keeps what has been read";

/** A star marks what stock Codex calls experimental. */
const WHY: Readonly<Record<string, string>> = {
  "account/bedrock/setup *": SIGN_IN,
  "account/gatewayOAuth/login": SIGN_IN,
  "account/gcp/setup *": SIGN_IN,
  "account/rateLimitResetCredit/consume": SIGN_IN,
  "account/sendAddCreditsNudgeEmail": SIGN_IN,
  "accountSession/switch *": SIGN_IN,
  "environment/add *": ENVIRONMENTS,
  "externalAgentConfig/import": "there is nothing to import",
  "externalAgentConfig/import/recordHistory": "there is nothing to import",
  "feedback/save": "sending feedback is disabled by configuration",
  "marketplace/add": PLUGINS,
  "marketplace/remove": PLUGINS,
  "mcpServer/event/stream/start *": "MCP servers are asked, and not listened to",
  "mcpServer/event/stream/stop *": "MCP servers are asked, and not listened to",
  "mcpServer/oauth/login": "MCP servers are signed in to by a token or headers of config.toml",
  "mock/experimentalMethod *": "it is for stock Codex's own tests",
  "plugin/install": PLUGINS,
  "plugin/read": PLUGINS,
  "plugin/share/checkout": PLUGINS,
  "plugin/share/delete": PLUGINS,
  "plugin/share/list": PLUGINS,
  "plugin/share/save": PLUGINS,
  "plugin/share/updateTargets": PLUGINS,
  "plugin/skill/read": PLUGINS,
  "plugin/uninstall": PLUGINS,
  "project/create *": PROJECTS,
  "project/delete *": PROJECTS,
  "project/import *": PROJECTS,
  "project/move *": PROJECTS,
  "project/read *": PROJECTS,
  "project/update *": PROJECTS,
  "remoteControl/client/list *": REMOTE,
  "remoteControl/client/revoke *": REMOTE,
  "remoteControl/disable *": REMOTE,
  "remoteControl/enable *": REMOTE,
  "remoteControl/pairing/start *": REMOTE,
  "remoteControl/pairing/status *": REMOTE,
  "thread/approveGuardianDeniedAction": GUARDIAN,
  "thread/decrement_elicitation *": "a command's time limit never stands still",
  "thread/guardianReview *": GUARDIAN,
  "thread/increment_elicitation *": "a command's time limit never stands still",
  "thread/memoryMode/set *": MEMORY,
  "thread/prediction/request *": SAMPLES,
  "thread/readState/update *": READ_STATES,
  "thread/realtime/appendAudio *": SPEECH,
  "thread/realtime/appendSpeech *": SPEECH,
  "thread/realtime/appendText *": SPEECH,
  "thread/realtime/listVoices *": SPEECH,
  "thread/realtime/start *": SPEECH,
  "thread/sample *": SAMPLES,
  "thread/sample/cancel *": SAMPLES,
  "userVerification/cancel *": SIGN_IN,
  "userVerification/delete *": SIGN_IN,
  "userVerification/enroll *": SIGN_IN,
  "userVerification/verify *": SIGN_IN,
  "windowsSandbox/setupStart": "commands are confined by bubblewrap, which needs no setting up",
};

/** Whatever its params are: nothing would come of better ones. */
function refused([named, why]: readonly [string, string]): [string, Method] {
  const [name = "", star] = named.split(" ");
  const handle = () => {
    throw invalidRequest(`Invalid request: ${name} is not served by Skein: ${why}`, { details: { notServed: name } });
  };
  return [name, method({ params: z.unknown(), handle, experimental: star === undefined ? [] : true })];
}

export const notServedMethods: MethodTable = Object.fromEntries(Object.entries(WHY).map(refused));
