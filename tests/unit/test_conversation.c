/* test_conversation.c: the moves in a conversation, and its way to a file and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "cli/conversation.h"

#include <cmocka.h> /* last: it has a macro fail() */

static struct conversation talk;
static hearth_error err;

/* "s:be kind u:one a:first": a role by its letter, a text without spaces. */
static void make(const char *z)
{
    static const char *const roles[] = { "system", "developer", "user", "assistant", "tool" };
    conversation_free(&talk);
    while (*z) {
        size_t n = strcspn(z, " ");
        const char *role = NULL;
        for (size_t i = 0; i < ARRAY_LEN(roles); i++)
            if (roles[i][0] == z[0])
                role = roles[i];
        assert_true(conversation_say(&talk, role, (struct str){ z + 2, n - 2 }, (struct str){ 0 }, &err));
        z += n + (z[n] == ' ');
    }
}

static void assert_talk(const char *want)
{
    struct buf got = { 0 };
    for (size_t i = 0; i < talk.n; i++) {
        size_t n;
        char *text = message_text(&talk.messages[i], &n);
        buf_printf(&got, "%s%c:%.*s", i ? " " : "", talk.messages[i].role[0], (int)n, text);
        mem_free(text);
    }
    assert_string_equal(got.ptr ? got.ptr : "", want);
    buf_free(&got);
}

static void messages_are_copies(void **state)
{
    (void)state;
    char text[] = "hello", name[] = "clock", arguments[] = "{}";
    hearth_text parts[] = { { text, 5 }, { text, 2 } };
    hearth_tool_call call = { .id = "1", .name = name, .arguments = arguments };
    hearth_message m = { .role = "assistant", .parts = parts, .n_parts = 2, .thinking = { text, 4 },
                         .tool_calls = &call, .n_tool_calls = 1, .name = name };
    make("u:hi");
    assert_true(conversation_add(&talk, &m, &err));
    memset(text, 'x', 5);
    name[0] = arguments[0] = 'x';
    const hearth_message *got = &talk.messages[1];
    assert_talk("u:hi a:hellohe");
    assert_int_equal(got->n_parts, 2);
    assert_string_equal(got->thinking.text, "hell");
    assert_string_equal(got->tool_calls[0].name, "clock");
    assert_string_equal(got->tool_calls[0].arguments, "{}");
    assert_string_equal(got->name, "clock");
    assert_null(got->tool_call_id);
}

static void undo_takes_the_last_exchange_and_drop_the_oldest(void **state)
{
    (void)state;
    make("s:be u:1 a:one u:2 a:call t:result a:two u:3 a:three");
    assert_int_equal(conversation_n_exchanges(&talk), 3);
    assert_int_equal(conversation_undo(&talk), 2);
    assert_talk("s:be u:1 a:one u:2 a:call t:result a:two");
    assert_int_equal(conversation_drop(&talk), 2);
    assert_talk("s:be u:2 a:call t:result a:two");
    assert_int_equal(conversation_drop(&talk), 4);
    assert_talk("s:be");
    assert_int_equal(conversation_drop(&talk), 0);
    assert_int_equal(conversation_undo(&talk), 0);
    assert_talk("s:be");
}

static void a_greeting_goes_with_the_oldest_exchange(void **state)
{
    (void)state;
    make("a:welcome u:1 a:one u:2 a:two");
    assert_int_equal(conversation_drop(&talk), 3);
    assert_talk("u:2 a:two");
    make("a:welcome");
    assert_int_equal(conversation_undo(&talk), 0);
    assert_int_equal(conversation_drop(&talk), 1);
}

static void clear_leaves_the_system_message(void **state)
{
    (void)state;
    make("s:be d:kind u:1 a:one");
    assert_int_equal(conversation_clear(&talk), 2);
    assert_talk("s:be d:kind");
}

static void the_system_message_is_set_replaced_and_taken_away(void **state)
{
    (void)state;
    make("u:1 a:one");
    assert_true(conversation_set_system(&talk, STR("be"), &err));
    assert_talk("s:be u:1 a:one");
    assert_true(conversation_set_system(&talk, STR("kind"), &err));
    assert_talk("s:kind u:1 a:one");
    assert_true(conversation_set_system(&talk, STR(""), &err));
    assert_talk("u:1 a:one");
    make("s:a d:b u:1");
    assert_true(conversation_set_system(&talk, STR("c"), &err));
    assert_talk("s:c u:1");
    make("");
    assert_true(conversation_set_system(&talk, STR("alone"), &err));
    assert_talk("s:alone");
}

static void what_was_cut_comes_back(void **state)
{
    (void)state;
    struct conversation_tail tail;
    make("u:1 a:one u:2 a:two");
    assert_int_equal(conversation_last_user(&talk), 2);
    assert_true(conversation_cut(&talk, 3, &tail, &err));
    assert_talk("u:1 a:one u:2");
    for (int i = 0; i < 40; i++) /* the list grows meanwhile */
        assert_true(conversation_say(&talk, "assistant", STR("other"), (struct str){ 0 }, &err));
    conversation_restore(&talk, 3, &tail);
    assert_talk("u:1 a:one u:2 a:two");
    assert_true(conversation_cut(&talk, 4, &tail, &err));
    conversation_restore(&talk, 4, &tail);
    assert_talk("u:1 a:one u:2 a:two");
    assert_true(conversation_cut(&talk, 0, &tail, &err));
    conversation_tail_free(&tail);
    assert_talk("");
}

static void running_out_of_memory_changes_nothing(void **state)
{
    (void)state;
    make("s:be u:1 a:one");
    for (uint64_t n = 1;; n++) {
        mem_fail_at(n);
        bool ok = conversation_say(&talk, "user", STR("2"), STR("hm"), &err)
               && conversation_set_system(&talk, STR("kind"), &err);
        mem_fail_at(0);
        if (ok)
            break;
        assert_int_equal(err.status, HEARTH_ERR_MEMORY);
        if (talk.n == 4)
            conversation_undo(&talk);
        assert_talk("s:be u:1 a:one");
    }
    assert_talk("s:kind u:1 a:one u:2");
}

/* ---- files ---- */

static char folder[] = "/tmp/hearth-conversation-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/talk.json", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    conversation_free(&talk);
    unlink(path);
    return rmdir(folder);
}

static void write_file(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static char noted[512];
static void note(void *arg, const char *sentence)
{
    (void)arg;
    snprintf(noted, sizeof noted, "%s", sentence);
}

static void a_saved_conversation_is_read_back_whole(void **state)
{
    (void)state;
    make("s:be u:1");
    hearth_text part = { "t\"w\no\xc3\xa9", 7 };
    hearth_tool_call call = { .id = "7", .name = "clock", .arguments = "{\"zone\":\"utc\"}" };
    hearth_message m = { .role = "assistant", .parts = &part, .n_parts = 1, .thinking = { "hm", 2 },
                         .tool_calls = &call, .n_tool_calls = 1 };
    assert_true(conversation_add(&talk, &m, &err));
    assert_true(conversation_set_kwargs(&talk, "{\"deep\": true}", &err));
    assert_true(conversation_save(&talk, path, false, &err));
    conversation_free(&talk);
    noted[0] = 0;
    assert_true(conversation_load(&talk, path, note, NULL, &err));
    assert_string_equal(noted, "");
    assert_int_equal(talk.n, 3);
    assert_talk("s:be u:1 a:t\"w\no\xc3\xa9");
    assert_string_equal(talk.messages[2].thinking.text, "hm");
    assert_string_equal(talk.messages[2].tool_calls[0].name, "clock");
    assert_string_equal(talk.messages[2].tool_calls[0].arguments, "{\"zone\":\"utc\"}");
    assert_non_null(strstr(talk.template_kwargs, "deep"));
    unlink(path);
}

static void saving_replaces_only_when_told_to_and_is_private(void **state)
{
    (void)state;
    struct stat st;
    make("u:1");
    write_file("mine");
    assert_false(conversation_save(&talk, path, false, &err));
    assert_int_equal(err.status, HEARTH_ERR_USAGE);
    assert_non_null(strstr(err.message, "/save! "));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 4);
    assert_true(conversation_save(&talk, path, true, &err));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    unlink(path);
    assert_false(conversation_save(&talk, "/nowhere/talk.json", false, &err));
    assert_int_equal(err.status, HEARTH_ERR_IO);
}

static void what_cannot_be_read_changes_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "{", "{\"messages\": 3}", "[{\"role\": \"user\"}, 4]", "[1, 2",
                                       "{\"messages\": [], \"messages\": []}" };
    make("u:1 a:one");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        write_file(bad[i]);
        assert_false(conversation_load(&talk, path, NULL, NULL, &err));
        assert_non_null(strstr(err.message, path));
        assert_talk("u:1 a:one");
    }
    unlink(path);
    assert_false(conversation_load(&talk, path, NULL, NULL, &err));
    assert_int_equal(err.status, HEARTH_ERR_IO);
    assert_talk("u:1 a:one");
}

static void template_values_stay_unless_the_file_has_its_own(void **state)
{
    (void)state;
    make("");
    assert_true(conversation_set_kwargs(&talk, "{\"a\": 1}", &err));
    write_file("[{\"role\": \"user\", \"content\": \"hi\"}]");
    assert_true(conversation_load(&talk, path, NULL, NULL, &err));
    assert_string_equal(talk.template_kwargs, "{\"a\": 1}");
    write_file("{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \"chat_template_kwargs\": {\"b\": 2}}");
    assert_true(conversation_load(&talk, path, NULL, NULL, &err));
    assert_null(strstr(talk.template_kwargs, "a"));
    assert_non_null(strstr(talk.template_kwargs, "b"));
    unlink(path);
}

static void flags_of_a_request_are_called_out(void **state)
{
    (void)state;
    make("");
    noted[0] = 0;
    write_file("{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \"add_generation_prompt\": false}");
    assert_true(conversation_load(&talk, path, note, NULL, &err));
    assert_non_null(strstr(noted, "add_generation_prompt"));
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_copies),
        cmocka_unit_test(undo_takes_the_last_exchange_and_drop_the_oldest),
        cmocka_unit_test(a_greeting_goes_with_the_oldest_exchange),
        cmocka_unit_test(clear_leaves_the_system_message),
        cmocka_unit_test(the_system_message_is_set_replaced_and_taken_away),
        cmocka_unit_test(what_was_cut_comes_back),
        cmocka_unit_test(running_out_of_memory_changes_nothing),
        cmocka_unit_test(a_saved_conversation_is_read_back_whole),
        cmocka_unit_test(saving_replaces_only_when_told_to_and_is_private),
        cmocka_unit_test(what_cannot_be_read_changes_nothing),
        cmocka_unit_test(template_values_stay_unless_the_file_has_its_own),
        cmocka_unit_test(flags_of_a_request_are_called_out),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
