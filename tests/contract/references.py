"""Tests elsewhere that prove a sentence: setting, quotation, and the tests as path::name.

In the order of the document; then come the settings that qcore has besides.
"""

from __future__ import annotations

_CONF = "tests/core/test_conf.py"
_LIMITS = "tests/engine/test_process.py"
_CLUSTERS = "tests/engine/test_live_clusters.py"
_DEATHS = "tests/engine/test_live_deaths.py"
_DELIVERIES = "tests/engine/test_live_deliveries.py"
_RETRY = "tests/contract/test_retry.py"
_STOPS = "tests/engine/test_live_stops.py"
_SIGNING = "tests/core/test_signing.py"
_CALLS = "tests/core/test_calls.py"
_LEGACY = "tests/core/test_legacy_reporters.py"
_STORES = "tests/django/test_store_contract.py"
_TRANSACTIONS = "tests/core/test_sending.py::TestTransactions"
_OUTCOMES = "tests/engine/test_live_outcomes.py"
_CACHE = "tests/django/test_cache.py"
_SCHEDULER = "tests/django/test_scheduler.py"
_MISTAKES = "tests/contract/test_mistakes.py"
_REDIS = "plugins/qcore-redis/tests/test_options.py"
_DISQUE = "plugins/qcore-disque/tests"
_SQS = "plugins/qcore-sqs/tests"
_MONGO = "plugins/qcore-mongo/tests"
_ORM = "plugins/qcore-orm/tests"

_OUTBOX = "tests/ledger/test_sending.py"
_TRACKED = "tests/django/test_tracked.py"
_POLICY = "tests/core/test_retry_policy.py"

REFERENCES: dict[str, dict[str, tuple[str, ...]]] = {
    "outbox": {
        "Send tasks through the outbox": (
            (
                f"{_OUTBOX}::TestAlways::"
                "test_a_broker_that_is_away_keeps_nobody_from_sending"
            ),
        ),
        "for a task that is called inside a transaction of that database": (
            f"{_OUTBOX}::TestInATransaction",
            f"{_OUTBOX}::TestWhereItIsNotUsed",
            f"{_OUTBOX}::TestDelays::test_a_delay_that_the_broker_cannot_keep",
        ),
    },
    "bands": {
        "Split each queue into five queues of the broker": (
            "tests/core/test_banded.py::test_each_band_is_a_queue_of_the_broker",
            "tests/core/test_banded.py::test_the_setting_makes_the_bands",
        ),
        "for brokers that know no priorities": (
            "tests/core/test_banded.py::test_a_broker_with_priorities_needs_no_bands",
        ),
    },
    "ledger": {
        "Alias of the database that has the outbox": (
            f"{_OUTBOX}::TestInATransaction::test_the_database_can_be_another_one",
        ),
        "None takes that of the results": (
            f"{_OUTBOX}::TestInATransaction::test_the_database_is_that_of_the_results",
        ),
    },
    "keep_tracked": {
        "Seconds that a tracked task": (
            f"{_TRACKED}::test_it_is_kept_by_age_whatever_save_limit_says",
            f"{_TRACKED}::test_the_relay_prunes",
        ),
        "The default is 14 days": (
            f"{_TRACKED}::test_it_is_kept_by_age_whatever_save_limit_says",
        ),
    },
    "backoff": {
        "Wait before a failed task is run again": (
            f"{_POLICY}::test_the_setting_takes_what_the_option_takes",
            f"{_POLICY}::test_waits_grow",
            f"{_POLICY}::test_a_function_gets_the_number_of_the_attempt",
        ),
        "None waits until the lease has ended": (
            "tests/ledger/test_retries.py::test_without_a_policy_the_lease_is_the_wait",
        ),
        "A task may have its own": (
            f"{_POLICY}::test_the_setting_holds_for_tasks_that_say_nothing",
        ),
    },
    "result_store": {
        "Result store: the name of one": (
            "tests/django/test_selection.py::TestSelected",
            "tests/core/test_choosing.py::test_the_key_of_the_kind_takes_a_name",
            "tests/core/test_choosing.py::test_the_key_of_the_kind_takes_a_path",
        ),
        "None keeps results in the database": (
            "tests/core/test_choosing.py::test_nothing_is_selected",
            "tests/core/test_choosing.py::test_a_claim_selects",
        ),
    },
    "cache_backend": {
        "Cache backend of status and cached results": (
            "tests/django/test_selection.py::TestSelected",
            "tests/core/test_choosing.py::test_the_key_of_the_kind_takes_a_name",
            "tests/core/test_choosing.py::test_the_key_of_the_kind_takes_a_path",
        ),
        "None uses the alias": (
            "tests/core/test_choosing.py::test_nothing_is_selected",
            "tests/core/test_choosing.py::test_a_claim_selects",
        ),
    },
    "scheduler_class": {
        "Scheduler: the name of one": (
            "tests/django/test_selection.py::TestSelected",
            "tests/core/test_choosing.py::test_the_key_of_the_kind_takes_a_name",
            "tests/core/test_choosing.py::test_the_key_of_the_kind_takes_a_path",
        ),
        "None keeps schedules in the database": (
            "tests/core/test_choosing.py::test_nothing_is_selected",
            "tests/core/test_choosing.py::test_a_claim_selects",
        ),
    },
    "Q_CLUSTER": {
        "All configuration settings are optional:": (f"{_CONF}::test_default",),
    },
    "name": {
        "Tasks are signed.": (
            f"{_SIGNING}::test_a_package_holds_its_task",
            f"{_SIGNING}::test_a_package_belongs_to_its_queue_and_its_site",
        ),
        "When a worker encounters a task with an invalid signature": (
            "tests/faults/test_each_broker.py::test_bad_packages_are_set_aside_and_the_others_go_on",
        ),
    },
    "daemonize_workers": {
        "Set the daemon flag when spawning workers.": (
            f"{_DEATHS}::test_children_of_a_killed_worker_are_killed_too",
            f"{_STOPS}::test_nobody_outlives_the_sentinel",
        ),
        "You may need to disable this flag if your worker needs to spawn child": (
            f"{_DEATHS}::test_children_live_on_where_workers_are_no_daemons",
        ),
    },
    "recycle": {
        "Useful to release memory resources on a regular basis.": (
            f"{_CLUSTERS}::test_workers_that_are_recycled_after_each_task_lose_nothing",
        ),
    },
    "max_rss": {
        "The maximum resident set size in kilobytes before a worker will recycle": (
            f"{_CLUSTERS}::test_a_worker_over_max_rss_is_replaced",
        ),
        "Useful for limiting memory usage.": (
            f"{_CLUSTERS}::test_a_worker_over_max_rss_is_replaced",
        ),
        "Only supported on platforms that implement the python resource module": (
            f"{_LIMITS}::test_memory_grows_with_what_is_kept",
        ),
    },
    "timeout": {
        "The number of seconds a worker is allowed to spend on a task": (
            f"{_DEATHS}::test_a_task_that_nothing_stops_is_killed",
        ),
    },
    "retry": {
        "The number of seconds a broker will wait for a cluster to finish a task": (
            f"{_DELIVERIES}::test_a_failed_task_is_tried_again_after_its_lease",
            f"{_STOPS}::test_nothing_is_lost_with_a_whole_cluster",
        ),
        ":ref:`timeout` must be less than retry value": (
            "tests/core/test_advice.py::test_contradiction_is_told",
        ),
        "If this does not hold, i.e. the retry value is less than timeout or less": (
            f"{_RETRY}::test_the_example_as_it_stands",
        ),
        "So in this example, ``time.sleep`` was called 5 times.": (
            f"{_RETRY}::test_the_example_as_it_stands",
            f"{_DELIVERIES}::test_a_renewed_lease_runs_it_once",
        ),
    },
    "compress": {
        "but can add overhead when used with many small packages.": (
            f"{_SIGNING}::test_compression_only_where_it_helps",
        ),
    },
    "save_limit": {
        "Limits the amount of successful tasks saved to Django.": (
            "tests/django/test_store_orm.py::test_the_newest_successes_remain",
        ),
    },
    "sync": {
        "forces all :func:`async_task` calls to be run with ``sync=True``": (
            "tests/core/test_sync.py::test_it_runs_at_once_and_is_stored",
        ),
    },
    "label": {
        "The label used for the Django Admin page.": (
            "tests/django/test_admin.py::test_the_app_has_the_label_of_the_project",
        ),
    },
    "catch_up": {
        "The default behavior for schedules that didn't run while a cluster": (
            f"{_SCHEDULER}::test_missed_slots",
            f"{_SCHEDULER}::test_catching_up_is_bounded_and_goes_on",
        ),
    },
    "redis": {
        "Defaults::": (f"{_REDIS}::test_no_setting_is_localhost",),
        "(example 1)": (
            f"{_REDIS}::test_the_documented_dictionary",
            f"{_REDIS}::test_a_unix_socket",
        ),
        "(example 2)": (f"{_REDIS}::test_the_documented_url",),
        "please refer to the `Redis-py": (f"{_REDIS}::test_a_wrong_option_is_named",),
    },
    "django_redis": {
        "supplying the name of the cache connection you want to use": (
            f"{_REDIS}::test_django_redis",
            f"{_REDIS}::test_django_redis_of_another_cache",
        ),
        "Django Q uses your ``SECRET_KEY`` to sign task packages": (
            f"{_CONF}::test_signing_keys_win_over_those_of_django",
            f"{_SIGNING}::test_keys_depend_on_secret_and_site",
        ),
        "So make sure you have it set up in your Django settings.": (
            "tests/core/test_advice.py::test_a_missing_key_is_told",
        ),
    },
    "disque_nodes": {
        "set this to a list of available Disque nodes and each cluster will": (
            f"{_DISQUE}/test_addresses.py::test_the_documented_nodes",
            f"{_DISQUE}/test_nodes.py::test_the_next_node_stands_in_for_one_that_is_not_there",
        ),
        "(example 2)": (
            f"{_DISQUE}/test_addresses.py::test_the_documented_example_of_tynd",
        ),
    },
    "disque_auth": {
        "Optional Disque password for servers that require authentication.": (
            f"{_DISQUE}/test_disque.py::test_the_password_is_refused",
        ),
    },
    "iron_mq": {
        "All connection keywords are supported.": (
            "plugins/qcore-ironmq/tests/test_options.py::test_every_keyword_goes_through",
        ),
    },
    "sqs": {
        "or any other boto3 configuration method::": (
            f"{_SQS}/test_options.py::test_the_environment_and_an_empty_dictionary",
            f"{_SQS}/test_options.py::test_a_profile",
        ),
        "(example 1)": (f"{_SQS}/test_options.py::test_the_documented_example",),
        "Please make sure these credentials have proper SQS access.": (
            f"{_SQS}/test_replies.py::test_refusals_last_and_say_what_to_do",
        ),
        "only supports a bulk setting between 1 and 10": (
            f"{_SQS}/test_options.py::test_settings_out_of_the_bounds_of_sqs",
        ),
        "with the total payload not exceeding 256kb.": (
            f"{_SQS}/test_replies.py::test_batches_are_split_by_bytes",
            f"{_SQS}/test_replies.py::test_an_old_service_keeps_its_256_kB",
        ),
    },
    "orm": {
        "Using the Django ORM backend will also enable the Queued Tasks table": (
            f"{_ORM}/test_admin.py::test_the_list_shows_headers_and_marks_the_unreadable",
            f"{_ORM}/test_admin.py::test_the_table_is_hidden_with_another_broker",
        ),
        "Set ``orm`` to the name of that database connection and make sure": (
            f"{_ORM}/test_plugin.py::test_unknown_alias_is_refused_with_those_that_exist",
            f"{_ORM}/test_failures.py::test_missing_tables_ask_for_migrations",
        ),
    },
    "mongo": {
        "can contain any of the parameters exposed by pymongo's": (
            f"{_MONGO}/test_options.py::test_what_the_project_sets_is_kept",
            f"{_MONGO}/test_options.py::test_a_wrong_option_is_named",
        ),
        "If you want to use a mongodb uri, you can supply it as the ``host``": (
            f"{_MONGO}/test_options.py::test_a_uri_names_the_database",
        ),
        "(example 1)": (f"{_MONGO}/test_options.py::test_the_documented_example",),
    },
    "mongo_db": {
        "you can optionally provide a database name to use for the queues.": (
            f"{_MONGO}/test_options.py::test_the_default_database",
        ),
        "Defaults to default database if available, otherwise ``django-q``": (
            f"{_MONGO}/test_options.py::test_the_default_database",
            f"{_MONGO}/test_options.py::test_a_uri_names_the_database",
        ),
    },
    "broker_class": {
        "inherits from either the base :class:`Broker` class or one of its": (
            "tests/core/test_choosing_broker.py::test_broker_class_must_be_one",
        ),
    },
    "bulk": {
        "Not supported by the default Redis broker.": (
            "plugins/qcore-redis/tests/test_contract.py::TestRedis",
        ),
    },
    "poll": {
        "Sets the queue polling interval for database brokers": (
            f"{_MONGO}/test_mongo.py::test_waiting_polls_at_the_pace_of_poll",
            f"{_ORM}/test_waking.py::test_sqlite_is_polled_without_inotify",
            f"{_ORM}/test_waking.py::test_databases_are_polled",
        ),
        "Currently only affects the ORM and MongoDB brokers.": (
            f"{_ORM}/test_waking.py::test_lost_notifications_are_made_up_for",
        ),
    },
    "cache": {
        "You can indicate which cache to use by setting this value.": (
            "tests/django/test_checks.py::test_a_cache_that_is_not_there_is_told",
        ),
    },
    "cached": {
        "the number of seconds you want the cache to retain results": (
            f"{_CACHE}::test_results_live_as_long_as_they_should",
        ),
        "Switches all task and result functions": (
            f"{_CLUSTERS}::test_cached_results",
        ),
    },
    "error_reporter": {
        "by installing Django Q with the necessary `extras": (
            "tests/test_install.py::test_an_extra_brings_its_plugin_from_the_wheelhouse",
        ),
        "you must provide the configuration settings required by an error": (
            f"{_LEGACY}::test_the_class_is_called_with_the_keywords_of_the_settings",
        ),
    },
    "cpu_affinity": {
        "(example 1)": (
            f"{_LIMITS}::test_the_documented_tables",
            f"{_CLUSTERS}::test_each_worker_is_bound_to_its_processors",
        ),
    },
    # -- settings of qcore's own -------------------------------------------------------
    "cluster_name": {
        "The variable Q_CLUSTER_NAME overrides it.": (
            f"{_CONF}::test_environment_selects_a_cluster",
        ),
    },
    "ALT_CLUSTERS": {
        "Settings that replace these where Q_CLUSTER_NAME selects them": (
            f"{_CONF}::test_environment_selects_a_cluster",
        ),
    },
    "shutdown_grace": {
        "25 leaves time within the 30 of Kubernetes.": (
            f"{_MISTAKES}::test_a_contradiction_is_a_warning_that_can_be_silenced",
            "tests/core/test_advice.py::test_sound_settings_are_left_alone",
        ),
        "Seconds that running tasks have to end once the cluster is told to stop.": (
            f"{_STOPS}::test_a_long_task_is_given_back_and_runs_in_the_next_cluster",
            f"{_STOPS}::test_short_tasks_end_and_the_rest_is_returned",
        ),
    },
    "grace": {
        "Seconds between the exception that `timeout` raises in a task": (
            f"{_DEATHS}::test_a_task_that_nothing_stops_is_killed",
        ),
    },
    "renew": {
        "Renew the lease of a running task": (
            f"{_DELIVERIES}::test_a_renewed_lease_runs_it_once",
            f"{_DELIVERIES}::test_what_waits_for_a_worker_is_renewed_too",
        ),
        "None renews unless the project sets `retry`.": (
            f"{_CONF}::test_leases_are_renewed_unless_the_project_sets_retry",
        ),
    },
    "max_crashes": {
        "Deliveries of a task whose worker died under it before it is given up.": (
            f"{_DEATHS}::test_a_task_that_always_kills_is_given_up",
        ),
    },
    "accept_content": {
        "Serializers whose packages a cluster reads.": (
            f"{_STORES}::test_a_pickle_is_read_where_the_project_accepts_it",
        ),
    },
    "serializer": {
        "lets whoever holds a signing key run code": (
            f"{_MISTAKES}::test_a_contradiction_is_a_warning_that_can_be_silenced",
        ),
    },
    "max_payload": {
        "Largest package in bytes that may be sent": (
            f"{_CALLS}::test_arguments_over_the_limit_are_refused_with_both_sizes",
            f"{_SQS}/test_networks.py::test_the_setting_max_payload_holds",
        ),
    },
    "signing_keys": {
        "Keys of packages: the first signs, all are accepted.": (
            f"{_SIGNING}::test_a_key_that_was_rotated_is_still_accepted",
        ),
        "None uses SECRET_KEY and SECRET_KEY_FALLBACKS.": (
            f"{_CONF}::test_signing_keys_win_over_those_of_django",
        ),
    },
    "allowed_tasks": {
        "Prefixes of dotted paths, such as 'shop.tasks', that tasks and their hooks may have": (
            f"{_CALLS}::test_allowed_tasks",
            f"{_CALLS}::test_what_is_not_allowed_cannot_be_sent",
        ),
    },
    "commit": {
        "When a task called inside a transaction is sent": (
            f"{_TRANSACTIONS}::test_sent_on_commit",
            f"{_TRANSACTIONS}::test_sent_at_once_where_that_is_wanted",
        ),
    },
    "save_limit_per": {
        "Apply `save_limit` to each group, name or function.": (
            "tests/django/test_store_orm.py::test_each_value_has_the_limit_for_itself",
        ),
    },
    "max_result": {
        "Largest result in bytes that is stored": (
            f"{_OUTCOMES}::test_a_result_over_the_limit_is_a_success_with_a_note",
        ),
    },
    "time_zone": {
        "Time zone in which schedules are reckoned.": (
            f"{_SCHEDULER}::test_a_cron_is_read_in_the_zone_of_the_project",
        ),
    },
}
