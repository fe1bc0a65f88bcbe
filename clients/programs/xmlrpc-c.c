/* Calls a server by xmlrpc-c, the library that oned is made with. Standard input has a call a line,
   [method, [parameter, ...]] in JSON; standard output gets {"value": ...} or {"fault": code, "text": ...} for each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xmlrpc-c/base.h>
#include <xmlrpc-c/client.h>
#include <xmlrpc-c/json.h>

static void check(xmlrpc_env *env, const char *doing) {
    if (env->fault_occurred) {
        fprintf(stderr, "%s: %s\n", doing, env->fault_string);
        exit(1);
    }
}

static void print(xmlrpc_value *answer) {
    xmlrpc_env env;
    xmlrpc_env_init(&env);
    xmlrpc_mem_block *text = xmlrpc_mem_block_new(&env, 0);
    xmlrpc_serialize_json(&env, answer, text);
    check(&env, "writing JSON");
    const char *from = xmlrpc_mem_block_contents(text);
    for (size_t i = 0; i < xmlrpc_mem_block_size(text); i++) /* it is laid out over many lines */
        if (from[i] != '\n' && from[i] != '\r')
            putchar(from[i]);
    putchar('\n');
    fflush(stdout);
    xmlrpc_mem_block_free(text);
}

/* The library reads JSON's integers as i8, which is not what oned's methods take. */
static xmlrpc_value *with_ints(xmlrpc_env *env, xmlrpc_value *v) {
    xmlrpc_value *copy = v, *part, *name;
    xmlrpc_int64 n;
    switch (xmlrpc_value_type(v)) {
    case XMLRPC_TYPE_I8:
        xmlrpc_read_i8(env, v, &n);
        return xmlrpc_int_new(env, (int)n);
    case XMLRPC_TYPE_ARRAY:
        copy = xmlrpc_array_new(env);
        for (int i = 0; i < xmlrpc_array_size(env, v); i++) {
            xmlrpc_array_read_item(env, v, i, &part);
            xmlrpc_value *whole = with_ints(env, part);
            xmlrpc_array_append_item(env, copy, whole);
            xmlrpc_DECREF(whole);
            xmlrpc_DECREF(part);
        }
        return copy;
    case XMLRPC_TYPE_STRUCT:
        copy = xmlrpc_struct_new(env);
        for (int i = 0; i < xmlrpc_struct_size(env, v); i++) {
            xmlrpc_struct_read_member(env, v, i, &name, &part);
            xmlrpc_value *whole = with_ints(env, part);
            xmlrpc_struct_set_value_v(env, copy, name, whole);
            xmlrpc_DECREF(whole);
            xmlrpc_DECREF(part);
            xmlrpc_DECREF(name);
        }
        return copy;
    default:
        xmlrpc_INCREF(v);
        return v;
    }
}

/* What the library puts before a fault's own text. */
static const char before[] = "RPC failed at server.  ";

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s URL <calls\n", argv[0]);
        return 2;
    }
    xmlrpc_env env;
    xmlrpc_env_init(&env);
    xmlrpc_client_setup_global_const(&env);
    xmlrpc_limit_set(XMLRPC_XML_SIZE_LIMIT_ID, 16 << 20); /* as OpenNebula's clients do by ONE_XMLRPC's message size */
    xmlrpc_client *client;
    xmlrpc_client_create(&env, XMLRPC_CLIENT_NO_FLAGS, "onevolume-test", "1", NULL, 0, &client);
    check(&env, "making the client");
    xmlrpc_server_info *server = xmlrpc_server_info_new(&env, argv[1]);
    check(&env, argv[1]);

    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0) {
        xmlrpc_value *json = xmlrpc_parse_json(&env, line), *params, *result, *answer;
        check(&env, "reading a call");
        xmlrpc_value *call = with_ints(&env, json);
        const char *method;
        xmlrpc_decompose_value(&env, call, "(sA)", &method, &params);
        check(&env, "reading a call");
        xmlrpc_client_call2(&env, client, server, method, params, &result);
        if (env.fault_occurred) {
            xmlrpc_env fine;
            xmlrpc_env_init(&fine);
            const char *text = env.fault_string;
            if (strncmp(text, before, sizeof before - 1) == 0)
                text += sizeof before - 1;
            answer = xmlrpc_build_value(&fine, "{s:i,s:s}", "fault", env.fault_code, "text", text);
            xmlrpc_env_clean(&env);
            xmlrpc_env_init(&env);
        } else {
            answer = xmlrpc_build_value(&env, "{s:V}", "value", result);
            xmlrpc_DECREF(result);
        }
        print(answer);
        xmlrpc_DECREF(answer);
        xmlrpc_DECREF(params);
        xmlrpc_DECREF(call);
        xmlrpc_DECREF(json);
        free((void *)method);
    }
    free(line);
    return 0;
}
