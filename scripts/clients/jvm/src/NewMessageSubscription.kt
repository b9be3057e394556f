// What Apollo's Gradle plugin would generate from ../../new-message.graphql, written
// by hand: there is no such plugin for Maven.
package apollo

import com.apollographql.apollo.api.Adapter
import com.apollographql.apollo.api.AnyAdapter
import com.apollographql.apollo.api.CompiledField
import com.apollographql.apollo.api.CustomScalarAdapters
import com.apollographql.apollo.api.ObjectType
import com.apollographql.apollo.api.Optional
import com.apollographql.apollo.api.Subscription
import com.apollographql.apollo.api.json.JsonReader
import com.apollographql.apollo.api.json.JsonWriter

class NewMessageSubscription(val chatId: String, val after: Optional<String?>) :
    Subscription<NewMessageSubscription.Data> {
    class Data(val newMessage: NewMessage) : Subscription.Data
    class NewMessage(val id: String, val content: String, val senderName: String)

    override fun id() = "NewMessage"
    override fun name() = "NewMessage"
    override fun document() =
        "subscription NewMessage(\$chatId: ID!, \$after: ID) " +
            "{ newMessage(chatId: \$chatId, after: \$after) { id content senderName } }"

    override fun serializeVariables(
        writer: JsonWriter,
        customScalarAdapters: CustomScalarAdapters,
        withDefaultValues: Boolean,
    ) {
        writer.name("chatId").value(chatId)
        (after as? Optional.Present)?.let { present ->
            writer.name("after")
            present.value?.let { writer.value(it) } ?: writer.nullValue()
        }
    }

    override fun rootField() = CompiledField.Builder("data", ObjectType.Builder("Subscription").build()).build()
    override fun adapter() = DataAdapter

    object DataAdapter : Adapter<Data> {
        override fun fromJson(reader: JsonReader, customScalarAdapters: CustomScalarAdapters): Data {
            val data = AnyAdapter.fromJson(reader, customScalarAdapters) as Map<*, *>
            val message = data["newMessage"] as Map<*, *>
            val field = { name: String -> message[name] as String }
            return Data(NewMessage(field("id"), field("content"), field("senderName")))
        }

        override fun toJson(writer: JsonWriter, customScalarAdapters: CustomScalarAdapters, value: Data) =
            throw UnsupportedOperationException("results are only read")
    }
}
