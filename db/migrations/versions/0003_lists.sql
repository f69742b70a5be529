-- The tags of the tasks that are not in the trash: read from a list of them, a document each would be too many.
CREATE TABLE task_tags (
    tag TEXT NOT NULL,
    task_id UUID NOT NULL,
    CONSTRAINT task_tags_pkey PRIMARY KEY (tag, task_id),
    CONSTRAINT task_tags_task_id_fkey FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE
);
CREATE INDEX task_tags_of_task ON task_tags (task_id);

CREATE FUNCTION task_tags_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM task_tags WHERE task_id = NEW.id;
    END IF;
    IF NEW.deleted_at IS NULL THEN
        INSERT INTO task_tags SELECT DISTINCT jsonb_array_elements_text(NEW.spec -> 'tags'), NEW.id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER task_tags_begin AFTER INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION task_tags_follow();
CREATE TRIGGER task_tags_change AFTER UPDATE OF spec, deleted_at ON tasks FOR EACH ROW
    WHEN (OLD.spec -> 'tags' IS DISTINCT FROM NEW.spec -> 'tags'
          OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL))
    EXECUTE FUNCTION task_tags_follow();
INSERT INTO task_tags SELECT DISTINCT jsonb_array_elements_text(spec -> 'tags'), id FROM tasks WHERE deleted_at IS NULL;

CREATE INDEX tasks_by_change ON tasks (updated_at DESC, id DESC);
CREATE INDEX task_status_by_last_run ON task_status (coalesce(last_due_at, '-infinity'::timestamptz) DESC, task_id DESC);
