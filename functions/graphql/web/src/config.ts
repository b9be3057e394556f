/** What the graphql function says about the deployment that served this page. */
export interface Config {
  webSocketUrl: string;
  auth: 'anonymous' | 'jwt';
}

export async function loadConfig(): Promise<Config> {
  const response = await fetch('/config.json');
  if (!response.ok) throw new Error(`The server answers ${response.status}`);
  return response.json();
}
