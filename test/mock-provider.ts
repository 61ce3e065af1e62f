/** A config.toml that both programs read, ours and stock Codex: a model behind a loopback Responses API, and nobody to ask. */
export const mockProviderToml = (baseUrl: string): string => `model = "gpt-5.1-codex"
model_provider = "mock"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false

[model_providers.mock]
name = "mock"
base_url = "${baseUrl}"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
requires_openai_auth = false
supports_websockets = false

[analytics]
enabled = false
`;
