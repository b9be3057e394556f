//! graphql-ws-client with graphql_client and tokio, resuming after each loss of the connection:
//!   subwire-client HTTP_URL WS_URL CHAT_ID
//! Prints {"next": message} for each message. A line of input completes the
//! subscription; the end of the input ends the program.

use std::{collections::HashSet, error::Error, future::IntoFuture, time::Duration};

use futures::StreamExt;
use graphql_client::GraphQLQuery;
use graphql_ws_client::{Client, graphql::StreamingOperation};
use tokio::io::AsyncBufReadExt;
use tokio_tungstenite::tungstenite::{client::IntoClientRequest, http::HeaderValue};

#[allow(clippy::upper_case_acronyms)]
type ID = String;

#[derive(GraphQLQuery)]
#[graphql(
    schema_path = "../schema.graphql",
    query_path = "../new-message.graphql",
    response_derives = "Serialize"
)]
struct NewMessage;

type Message = new_message::NewMessageNewMessage;

/// What a chat has given, so that each message is shown once.
struct Seen {
    newest: ID,
    ids: HashSet<ID>,
}

impl Seen {
    /// Subscribes after the newest message until the connection is lost.
    async fn follow(&mut self, ws_url: &str, chat_id: &str, show: impl Fn(&Message)) -> Result<(), Box<dyn Error>> {
        let mut request = ws_url.into_client_request()?;
        let subprotocol = HeaderValue::from_static("graphql-transport-ws");
        request.headers_mut().insert("Sec-WebSocket-Protocol", subprotocol);
        let (socket, _) = tokio_tungstenite::connect_async(request).await?;

        let builder = Client::build(socket).keep_alive_interval(Duration::from_secs(120));
        let (client, actor) = tokio::time::timeout(Duration::from_secs(10), builder.into_future()).await??;
        tokio::spawn(actor.into_future());
        let variables = new_message::Variables { chat_id: chat_id.into(), after: Some(self.newest.clone()) };
        let mut events = client.subscribe(StreamingOperation::<NewMessage>::new(variables)).await?;
        while let Some(event) = events.next().await {
            let Some(data) = event?.data else { continue };
            let message = data.new_message;
            if self.ids.insert(message.id.clone()) {
                show(&message);
            }
            self.newest = self.newest.clone().max(message.id);
        }
        Ok(())
    }
}

async fn listen(ws_url: &str, chat_id: &str) {
    let newest = "0".repeat(26); // or the newest id of the history
    let mut seen = Seen { ids: HashSet::from([newest.clone()]), newest };
    let show = |message: &Message| println!("{}", serde_json::json!({ "next": message }));
    for attempts in 0.. {
        if let Err(error) = seen.follow(ws_url, chat_id, show).await {
            eprintln!("{error}");
        }
        let pause = 2f64.powi(attempts.min(5)) * rand::random_range(0.5..1.0);
        tokio::time::sleep(Duration::from_secs_f64(pause)).await;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let [_, _http_url, ws_url, chat_id] = std::env::args().collect::<Vec<_>>().try_into().expect("three arguments");
    let mut input = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    tokio::select! {
        _ = listen(&ws_url, &chat_id) => {} // dropping a subscription completes it
        _ = input.next_line() => {}
    }
    while let Ok(Some(_)) = input.next_line().await {}
}
